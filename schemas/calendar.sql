-- Days that a country treats differently.
CREATE SOURCE calendar (
    country VARCHAR NOT NULL,                   -- ISO 3166 alpha-2
    day     DATE NOT NULL,                      -- local day
    name    VARCHAR NOT NULL,                   -- in English
    kind    VARCHAR,                            -- holiday | shopping
    PRIMARY KEY (country, day, name)
) WITH (location = 'calendar/', format = 'parquet', mode = 'upsert');
