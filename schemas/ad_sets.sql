-- Ad sets (Google: ad groups) of campaigns: one audience each.
CREATE SOURCE ad_sets (
    adset_id      VARCHAR NOT NULL,             -- the platform's id (Meta adset_id, Google ad_group.id)
    campaign_id   VARCHAR,                      -- the campaign it is in
    audience      VARCHAR,                      -- whom it reaches, as a person named it
    audience_size BIGINT,                       -- people, estimated by the platform
    as_of         TIMESTAMP NOT NULL,           -- when it was set up so, UTC
    PRIMARY KEY (adset_id)
) WITH (location = 'ad_sets/', format = 'parquet', mode = 'upsert', version = 'as_of');
