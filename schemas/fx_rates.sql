-- Exchange rates of a day: provisional on its evening, final on the next morning.
CREATE SOURCE fx_rates (
    currency VARCHAR NOT NULL,                  -- ISO 4217
    day      DATE NOT NULL,                     -- UTC day
    per_usd  DECIMAL(18,6),                     -- units of the currency per US dollar
    as_of    TIMESTAMP NOT NULL,                -- when it was published, UTC
    PRIMARY KEY (currency, day)
) WITH (location = 'fx_rates/', format = 'parquet', mode = 'upsert', version = 'as_of');
