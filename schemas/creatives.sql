-- Creatives of campaigns: what people see. A creative never changes; an ad gets another one.
CREATE SOURCE creatives (
    creative_id VARCHAR NOT NULL,               -- the platform's id
    campaign_id VARCHAR,                        -- the campaign that shows it
    ad_id       VARCHAR,                        -- the ad that shows it
    headline    VARCHAR,                        -- ad copy, plain text
    body        VARCHAR,                        -- ad copy, plain text
    call_to_action VARCHAR,                     -- the button's words
    image       VARCHAR,                        -- path of the PNG banner within the lake
    as_of       TIMESTAMP NOT NULL,             -- when it was made, UTC
    PRIMARY KEY (creative_id)
) WITH (location = 'creatives/', format = 'parquet', mode = 'upsert', version = 'as_of');
