-- Truth of a generated world: what became of the goals. No dataflow reads this; backtests do.
CREATE SOURCE truth_goals (
    goal_id    VARCHAR NOT NULL,                -- of goals
    period_end DATE,                            -- first day after, UTC
    outcome    DECIMAL(18,6),                   -- final, in the metric's unit
    missed     BOOLEAN,                         -- the target was missed
    reason     VARCHAR,                         -- plain | incident | none
    PRIMARY KEY (goal_id)
) WITH (location = 'truth/goals/', format = 'parquet', mode = 'upsert');
