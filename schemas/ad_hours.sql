-- Hourly delivery per ad, as the platform reported it at `as_of`. Clicks found invalid are taken out
-- within two days, and their cost with them where clicks are sold. Hours of zeros are omitted.
CREATE SOURCE ad_hours (
    platform       VARCHAR NOT NULL,            -- google | meta | tiktok | x
    account_id     VARCHAR,                     -- the advertiser's account on the platform
    campaign_id    VARCHAR,                     -- the campaign of the ad
    adset_id       VARCHAR,                     -- the ad set of the ad (Google: ad group)
    ad_id          VARCHAR NOT NULL,            -- the platform's id
    metric_hour    TIMESTAMP NOT NULL,          -- start of the hour, UTC
    account_tz     VARCHAR,                     -- IANA zone in which the account's days begin
    currency       VARCHAR,                     -- ISO 4217, of all amounts in the row
    impressions    BIGINT,                      -- times shown
    clicks         BIGINT,                      -- times clicked, without invalid ones
    invalid_clicks BIGINT,                      -- clicks found invalid so far
    cost_micros    BIGINT,                      -- 10^-6 of the currency
    as_of          TIMESTAMP NOT NULL,          -- when the platform said so, UTC
    PRIMARY KEY (platform, ad_id, metric_hour)
) WITH (location = 'ad_hours/', format = 'parquet', mode = 'upsert', version = 'as_of',
        event_time = 'metric_hour');
