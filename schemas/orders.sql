-- Orders as the shop knows them: also those that a broken pixel never reported.
CREATE SOURCE orders (
    order_id     VARCHAR NOT NULL,              -- the shop's id
    customer_id  VARCHAR,                       -- who ordered
    campaign_id  VARCHAR,                       -- the campaign that the shop credits
    ordered_at   TIMESTAMP,                     -- when, UTC
    value_micros BIGINT,                        -- 10^-6 of the currency
    currency     VARCHAR,                       -- ISO 4217
    status       VARCHAR,                       -- paid | refunded
    as_of        TIMESTAMP NOT NULL,            -- when the shop said so, UTC
    PRIMARY KEY (order_id)
) WITH (location = 'orders/', format = 'parquet', mode = 'upsert', version = 'as_of');
