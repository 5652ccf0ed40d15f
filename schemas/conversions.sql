-- Conversions per ad, hour of the click or view, type and window, as reported at `as_of`. They
-- arrive for up to 90 days and may fall again. Meta reports one event under several types
-- (omni_purchase, purchase, offsite_conversion.fb_pixel_purchase): never add them up.
CREATE SOURCE conversions (
    platform           VARCHAR NOT NULL,        -- google | meta | tiktok | x
    account_id         VARCHAR,                 -- the advertiser's account on the platform
    campaign_id        VARCHAR,                 -- the campaign of the ad
    adset_id           VARCHAR,                 -- the ad set of the ad (Google: ad group)
    ad_id              VARCHAR NOT NULL,        -- the platform's id
    metric_hour        TIMESTAMP NOT NULL,      -- start of the hour of the click or view, UTC
    action_type        VARCHAR NOT NULL,        -- Meta's action_type, Google's conversion category
    attribution_window VARCHAR NOT NULL,        -- e.g. 7d_click, 1d_view: which conversions count
    currency           VARCHAR,                 -- ISO 4217, of all amounts in the row
    conversions        DECIMAL(18,6),           -- attributed, fractional
    conversions_value_micros BIGINT,            -- 10^-6 of the currency
    as_of              TIMESTAMP NOT NULL,      -- when the platform said so, UTC
    PRIMARY KEY (platform, ad_id, metric_hour, action_type, attribution_window)
) WITH (location = 'conversions/', format = 'parquet', mode = 'upsert', version = 'as_of',
        event_time = 'metric_hour');
