-- Answers: how did each campaign do, hour by hour, over the last day and week, and was an hour's
--   spend or revenue unusual for its hour of the week? The benchmark job of `benchmarks/`.
-- Inputs: events (one row per delivered event, append-only), corrections (`_diff` rows that take
--   back and restate events; fresh events arrive here too).
-- Output: one row per campaign and hour that has events.
--   campaign_id      number of the campaign
--   hour             start of the hour, UTC
--   imp, clk, conv   impressions, clicks, conversions of the hour (count)
--   spend, rev       cost and value of conversions of the hour (micros, 10^-6 of the currency)
--   *_24h, *_7d      the same over the 24 hours and the 7 days that end with this hour
--   ctr_*, cvr_*     clicks per impression, conversions per click (ratio)
--   cpc_*, cpa_*     micros per click, micros per conversion
--   roas_*           value per cost (ratio)
--   score_spend, score_rev   robust score against the same hour of the week in the 28 days before:
--                    0.6745 * (x - median) / max(MAD, 5 % of |median|, 1); null with fewer than
--                    three such hours (standard deviations)
CREATE SOURCE events (
    event_id       BIGINT,
    event_time     TIMESTAMP,  -- UTC
    campaign_id    BIGINT,
    platform       VARCHAR,
    creative_id    BIGINT,
    impressions    BIGINT,     -- count
    clicks         BIGINT,     -- count
    spend_micros   BIGINT,     -- micros
    conversions    BIGINT,     -- count
    revenue_micros BIGINT,     -- micros
    day            DATE        -- from the folder
) WITH (location = 'lake/', format = 'parquet', mode = 'append', event_time = 'event_time');

CREATE SOURCE corrections (
    event_id       BIGINT,
    event_time     TIMESTAMP,
    campaign_id    BIGINT,
    platform       VARCHAR,
    creative_id    BIGINT,
    impressions    BIGINT,
    clicks         BIGINT,
    spend_micros   BIGINT,
    conversions    BIGINT,
    revenue_micros BIGINT,
    _diff          BIGINT NOT NULL  -- -1 takes a row back, 1 adds one
) WITH (location = 'corrections/', format = 'parquet', mode = 'changes');

CREATE VIEW hourly AS
SELECT campaign_id, date_trunc('hour', event_time) AS hour,
       sum(impressions) AS imp, sum(clicks) AS clk, sum(spend_micros) AS spend,
       sum(conversions) AS conv, sum(revenue_micros) AS rev
FROM (
    SELECT campaign_id, event_time, impressions, clicks, spend_micros, conversions, revenue_micros
    FROM events
    UNION ALL
    SELECT campaign_id, event_time, impressions, clicks, spend_micros, conversions, revenue_micros
    FROM corrections
)
GROUP BY campaign_id, date_trunc('hour', event_time);

CREATE VIEW rolling AS
SELECT *,
       sum(imp) OVER day AS imp_24h, sum(clk) OVER day AS clk_24h, sum(spend) OVER day AS spend_24h,
       sum(conv) OVER day AS conv_24h, sum(rev) OVER day AS rev_24h,
       sum(imp) OVER week AS imp_7d, sum(clk) OVER week AS clk_7d, sum(spend) OVER week AS spend_7d,
       sum(conv) OVER week AS conv_7d, sum(rev) OVER week AS rev_7d
FROM hourly
WINDOW day AS (PARTITION BY campaign_id ORDER BY hour
               RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW),
       week AS (PARTITION BY campaign_id ORDER BY hour
                RANGE BETWEEN INTERVAL '167 hours' PRECEDING AND CURRENT ROW);

CREATE VIEW usual AS
SELECT *, count(*) OVER slot AS usual_hours,
       median(spend::DOUBLE) OVER slot AS spend_median, mad(spend::DOUBLE) OVER slot AS spend_mad,
       median(rev::DOUBLE) OVER slot AS rev_median, mad(rev::DOUBLE) OVER slot AS rev_mad
FROM rolling
WINDOW slot AS (PARTITION BY campaign_id, date_part('dow', hour), date_part('hour', hour)
                ORDER BY hour
                RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 hour' PRECEDING);

CREATE MATERIALIZED VIEW benchmark_features AS
SELECT campaign_id, hour, imp, clk, spend, conv, rev,
       imp_24h, clk_24h, spend_24h, conv_24h, rev_24h, imp_7d, clk_7d, spend_7d, conv_7d, rev_7d,
       clk_24h::DOUBLE / nullif(imp_24h, 0) AS ctr_24h, clk_7d::DOUBLE / nullif(imp_7d, 0) AS ctr_7d,
       conv_24h::DOUBLE / nullif(clk_24h, 0) AS cvr_24h, conv_7d::DOUBLE / nullif(clk_7d, 0) AS cvr_7d,
       spend_24h::DOUBLE / nullif(clk_24h, 0) AS cpc_24h, spend_7d::DOUBLE / nullif(clk_7d, 0) AS cpc_7d,
       spend_24h::DOUBLE / nullif(conv_24h, 0) AS cpa_24h, spend_7d::DOUBLE / nullif(conv_7d, 0) AS cpa_7d,
       rev_24h::DOUBLE / nullif(spend_24h, 0) AS roas_24h, rev_7d::DOUBLE / nullif(spend_7d, 0) AS roas_7d,
       CASE WHEN usual_hours >= 3
            THEN robust_zscore(spend, spend_median, spend_mad) END AS score_spend,
       CASE WHEN usual_hours >= 3 THEN robust_zscore(rev, rev_median, rev_mad) END AS score_rev
FROM usual;
