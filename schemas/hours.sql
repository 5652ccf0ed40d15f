-- Hours that a platform has delivered, whether or not a campaign has a row in them: platforms omit
-- rows of zeros, and an outage is a missing row. One row per platform and hour.
CREATE SOURCE hours (
    platform    VARCHAR NOT NULL,               -- google | meta | tiktok | x
    metric_hour TIMESTAMP NOT NULL,             -- start of the hour, UTC
    PRIMARY KEY (platform, metric_hour)
) WITH (location = 'hours/', format = 'parquet', mode = 'upsert');
