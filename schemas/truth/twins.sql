-- Truth of a generated world: what only looks wrong in it. No dataflow reads this; backtests do.
CREATE SOURCE truth_twins (
    kind       VARCHAR,                         -- one of workers/world/README.md
    level      VARCHAR,                         -- platform | brand | account | campaign | ad_set | ad
    entity_id  VARCHAR,                         -- its id
    began      TIMESTAMP,                       -- first hour, UTC
    ended      TIMESTAMP,                       -- first hour after, UTC
    looks_like VARCHAR,                         -- the kind of incident it resembles
    told_by    VARCHAR                          -- the table or statistic that tells them apart
) WITH (location = 'truth/twins/', format = 'parquet', mode = 'replace');
