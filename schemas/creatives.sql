-- Creatives of campaigns: what people see.
CREATE SOURCE creatives (
    creative_id VARCHAR NOT NULL,               -- the platform's id
    campaign_id VARCHAR,                        -- the campaign that shows it
    headline    VARCHAR,                        -- ad copy, plain text
    image       VARCHAR,                        -- path of the image within the lake
    as_of       TIMESTAMP NOT NULL,             -- when it was so, UTC
    PRIMARY KEY (creative_id)
) WITH (location = 'creatives/', format = 'parquet', mode = 'upsert', version = 'as_of');
