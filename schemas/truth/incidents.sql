-- Truth of a generated world: what is wrong in it. No dataflow reads this; backtests do.
CREATE SOURCE truth_incidents (
    incident_id  VARCHAR NOT NULL,              -- unique
    kind         VARCHAR,                       -- one of workers/world/README.md
    level        VARCHAR,                       -- platform | account | campaign | ad_set | ad
    entity_id    VARCHAR,                       -- its id
    onset        TIMESTAMP,                     -- first hour, UTC
    ended        TIMESTAMP,                     -- first hour after, UTC
    deadline     TIMESTAMP,                     -- by when it should be known, UTC
    metric       VARCHAR,                       -- what shows it best
    direction    VARCHAR,                       -- up | down
    factor       DOUBLE,                        -- how much, as its prior says
    money_micros BIGINT,                        -- expected cost and value it moves, 10^-6 of the currency
    currency     VARCHAR,                       -- ISO 4217
    power        DOUBLE,                        -- probability that an oracle finds it by its deadline
    detectable   BOOLEAN,                       -- that probability is at least 0.99
    PRIMARY KEY (incident_id)
) WITH (location = 'truth/incidents/', format = 'parquet', mode = 'upsert');
