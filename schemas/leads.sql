-- Leads, and what sales made of them.
CREATE SOURCE leads (
    lead_id       VARCHAR NOT NULL,             -- the CRM's id
    brand         VARCHAR,                      -- whose lead
    campaign_id   VARCHAR,                      -- the campaign that the CRM credits
    created_at    TIMESTAMP,                    -- when, UTC
    qualification VARCHAR,                      -- new | qualified | disqualified | won
    value_micros  BIGINT,                       -- expected, 10^-6 of the currency
    currency      VARCHAR,                      -- ISO 4217
    as_of         TIMESTAMP NOT NULL,           -- when the CRM said so, UTC
    PRIMARY KEY (lead_id)
) WITH (location = 'leads/', format = 'parquet', mode = 'upsert', version = 'as_of');
