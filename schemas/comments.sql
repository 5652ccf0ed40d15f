-- Comments under ads.
CREATE SOURCE comments (
    comment_id VARCHAR NOT NULL,                -- the platform's id
    ad_id      VARCHAR,                         -- the ad it is under
    author_id  VARCHAR,                         -- who wrote it, pseudonymous
    written_at TIMESTAMP,                       -- when, UTC
    text       VARCHAR,                         -- what, plain text
    as_of      TIMESTAMP NOT NULL,              -- when it was delivered, UTC
    PRIMARY KEY (comment_id)
) WITH (location = 'comments/', format = 'parquet', mode = 'upsert', version = 'as_of');
