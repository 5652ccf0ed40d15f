-- Customers of brands, as their shops know them.
CREATE SOURCE customers (
    customer_id VARCHAR NOT NULL,               -- the shop's id, pseudonymous
    brand       VARCHAR,                        -- whose customer
    country     VARCHAR,                        -- ISO 3166 alpha-2
    segment     VARCHAR,                        -- new | returning | loyal
    as_of       TIMESTAMP NOT NULL,             -- when it was so, UTC
    PRIMARY KEY (customer_id)
) WITH (location = 'customers/', format = 'parquet', mode = 'upsert', version = 'as_of');
