-- What brands announce: promotions, planned maintenance, press.
CREATE SOURCE planned_events (
    event_id  VARCHAR NOT NULL,                 -- unique
    brand     VARCHAR,                          -- whose event
    kind      VARCHAR,                          -- promotion | maintenance | press
    name      VARCHAR,                          -- as a person named it
    begins_at TIMESTAMP,                        -- first hour, UTC
    ends_at   TIMESTAMP,                        -- first hour after, UTC
    as_of     TIMESTAMP NOT NULL,               -- when it was announced, UTC
    PRIMARY KEY (event_id)
) WITH (location = 'planned_events/', format = 'parquet', mode = 'upsert', version = 'as_of');
