-- Hourly facts per campaign, as the platform reported them at `as_of`. Restated for up to 145 days:
-- the newest `as_of` per key counts, all of them stay in ad_metrics_history.
CREATE SOURCE ad_metrics (
    platform           VARCHAR NOT NULL,        -- google | meta | tiktok | x
    account_id         VARCHAR NOT NULL,        -- the advertiser's account on the platform
    campaign_id        VARCHAR NOT NULL,        -- the platform's id
    metric_hour        TIMESTAMP NOT NULL,      -- start of the hour, UTC
    attribution_window VARCHAR NOT NULL,        -- e.g. 7d_click: which conversions count
    account_tz         VARCHAR,                 -- IANA zone in which the account's days begin
    currency           VARCHAR,                 -- ISO 4217, of all amounts in the row
    impressions        BIGINT,                  -- times shown
    clicks             BIGINT,                  -- times clicked
    cost_micros        BIGINT,                  -- 10^-6 of the currency
    conversions        DECIMAL(18,6),           -- attributed, fractional
    conversions_value_micros BIGINT,            -- 10^-6 of the currency
    as_of              TIMESTAMP NOT NULL,      -- when the platform said so, UTC
    PRIMARY KEY (platform, account_id, campaign_id, metric_hour, attribution_window)
) WITH (location = 'ad_metrics/', format = 'parquet', mode = 'upsert', version = 'as_of',
        event_time = 'metric_hour');
