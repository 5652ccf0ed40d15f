-- Accounts of a brand on a platform. Days of its campaigns begin at midnight of `tz`.
CREATE SOURCE accounts (
    account_id VARCHAR NOT NULL,                -- the platform's id
    platform   VARCHAR,                         -- google | meta | tiktok | x
    brand      VARCHAR,                         -- whose account it is
    country    VARCHAR,                         -- ISO 3166 alpha-2, where it advertises
    currency   VARCHAR,                         -- ISO 4217, of all its amounts
    tz         VARCHAR,                         -- IANA zone; days have 23 or 25 hours when clocks change
    pixel_id   VARCHAR,                         -- the tag that reports its conversions
    as_of      TIMESTAMP NOT NULL,              -- when it was set up so, UTC
    PRIMARY KEY (account_id)
) WITH (location = 'accounts/', format = 'parquet', mode = 'upsert', version = 'as_of');
