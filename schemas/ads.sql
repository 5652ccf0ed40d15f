-- Ads of ad sets, with the creative that each shows now.
CREATE SOURCE ads (
    ad_id       VARCHAR NOT NULL,               -- the platform's id
    adset_id    VARCHAR,                        -- the ad set it is in
    campaign_id VARCHAR,                        -- the campaign it is in
    creative_id VARCHAR,                        -- what it shows since as_of
    launch_hour TIMESTAMP,                      -- first hour it may be shown, UTC
    as_of       TIMESTAMP NOT NULL,             -- when it was delivered so, UTC
    PRIMARY KEY (ad_id)
) WITH (location = 'ads/', format = 'parquet', mode = 'upsert', version = 'as_of');
