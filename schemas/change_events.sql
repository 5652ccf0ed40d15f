-- Edits that people made on the platforms.
CREATE SOURCE change_events (
    change_id   VARCHAR NOT NULL,               -- unique
    platform    VARCHAR,                        -- google | meta | tiktok | x
    account_id  VARCHAR,                        -- the account in which it was made
    campaign_id VARCHAR,                        -- the campaign it is about; null for a whole account
    resource    VARCHAR,                        -- account | campaign | ad_set | ad
    resource_id VARCHAR,                        -- its id
    field       VARCHAR,                        -- status | daily_budget_micros | bid | targeting | creative | created | conversion_action | attribution_window
    old_value   VARCHAR,                        -- before, as text
    new_value   VARCHAR,                        -- after, as text
    changed_at  TIMESTAMP,                      -- when, UTC; known with the next delivery
    PRIMARY KEY (change_id)
) WITH (location = 'change_events/', format = 'parquet', mode = 'upsert', event_time = 'changed_at');
