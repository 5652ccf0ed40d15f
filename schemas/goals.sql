-- What campaigns should reach.
CREATE SOURCE goals (
    goal_id      VARCHAR NOT NULL,              -- unique
    level        VARCHAR,                       -- campaign
    entity_id    VARCHAR,                       -- its id
    metric       VARCHAR,                       -- cpa, cost (currency) | roas (value per cost) | conversions (count)
    target       DECIMAL(18,6),                 -- in the metric's unit
    direction    VARCHAR,                       -- at_least | at_most
    period_begin DATE,                          -- first day, UTC
    period_end   DATE,                          -- first day after, UTC
    currency     VARCHAR,                       -- ISO 4217, of cpa and cost
    as_of        TIMESTAMP NOT NULL,            -- when it was set, UTC
    PRIMARY KEY (goal_id)
) WITH (location = 'goals/', format = 'parquet', mode = 'upsert', version = 'as_of');
