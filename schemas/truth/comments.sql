-- Truth of a generated world: what comments are. No dataflow reads this; backtests do.
CREATE SOURCE truth_comments (
    comment_id VARCHAR NOT NULL,                -- of comments
    sentiment  VARCHAR,                         -- kind | neutral | angry
    spam       BOOLEAN,                         -- advertises something else
    bot        BOOLEAN,                         -- written by a machine
    PRIMARY KEY (comment_id)
) WITH (location = 'truth/comments/', format = 'parquet', mode = 'upsert');
