-- Campaigns as they are set up; the newest `as_of` counts.
CREATE SOURCE campaigns (
    campaign_id         VARCHAR NOT NULL,       -- the platform's id
    platform            VARCHAR,                -- google | meta | tiktok | x
    account_id          VARCHAR,                -- the advertiser's account on the platform
    name                VARCHAR,                -- as a person named it
    objective           VARCHAR,                -- sales | leads | traffic
    currency            VARCHAR,                -- ISO 4217, of the budget
    daily_budget_micros BIGINT,                 -- 10^-6 of the currency, per day of the account's zone
    launch_hour         TIMESTAMP,              -- first hour it may spend, UTC
    as_of               TIMESTAMP NOT NULL,     -- when it was set up so, UTC
    PRIMARY KEY (campaign_id)
) WITH (location = 'campaigns/', format = 'parquet', mode = 'upsert', version = 'as_of');
