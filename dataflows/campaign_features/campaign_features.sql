-- How is each campaign doing, hour by hour, against its own past and its budget?
--
-- Inputs: ad_metrics (current facts), campaigns, hours.
-- Output: campaign_features, one row per campaign and hour from its launch to the last hour its
-- platform delivered; platform_daily, one row per platform, currency and UTC day.
-- An hour in which the campaign has no row counts as zero and is marked reported = false.
-- Amounts are in the campaign's currency and never added across currencies.

CREATE VIEW campaign_cells AS
SELECT campaign_id, platform, metric_hour,
       sum(impressions) AS impressions, sum(clicks) AS clicks, sum(cost_micros) AS cost_micros,
       sum(conversions) AS conversions, sum(conversions_value_micros) AS value_micros
FROM ad_metrics
GROUP BY campaign_id, platform, metric_hour;

CREATE VIEW campaign_hours AS
SELECT c.campaign_id, c.platform, c.currency, c.daily_budget_micros, h.metric_hour
FROM campaigns c JOIN hours h ON c.platform = h.platform AND h.metric_hour >= c.launch_hour;

CREATE VIEW dense_cells AS
SELECT h.campaign_id, h.platform, h.currency, h.daily_budget_micros, h.metric_hour,
       f.impressions IS NOT NULL AS reported,
       coalesce(f.impressions, 0) AS impressions, coalesce(f.clicks, 0) AS clicks,
       coalesce(f.cost_micros, 0) AS cost_micros, coalesce(f.conversions, 0) AS conversions,
       coalesce(f.value_micros, 0) AS value_micros
FROM campaign_hours h LEFT JOIN campaign_cells f
  ON h.campaign_id = f.campaign_id AND h.platform = f.platform AND h.metric_hour = f.metric_hour;

CREATE VIEW rolling_cells AS
SELECT *,
    sum(impressions) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW) AS impressions_24h,
    sum(clicks) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW) AS clicks_24h,
    sum(cost_micros) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW) AS cost_24h_micros,
    sum(conversions) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW) AS conversions_24h,
    sum(impressions) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '167 hours' PRECEDING AND CURRENT ROW) AS impressions_7d,
    sum(clicks) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '167 hours' PRECEDING AND CURRENT ROW) AS clicks_7d,
    sum(cost_micros) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '167 hours' PRECEDING AND CURRENT ROW) AS cost_7d_micros,
    sum(conversions) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '167 hours' PRECEDING AND CURRENT ROW) AS conversions_7d,
    sum(value_micros) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '167 hours' PRECEDING AND CURRENT ROW) AS value_7d_micros,
    sum(cost_micros) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '671 hours' PRECEDING AND CURRENT ROW) AS cost_28d_micros,
    sum(conversions) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '671 hours' PRECEDING AND CURRENT ROW) AS conversions_28d,
    sum(value_micros) OVER (PARTITION BY campaign_id ORDER BY metric_hour RANGE BETWEEN INTERVAL '671 hours' PRECEDING AND CURRENT ROW) AS value_28d_micros,
    sum(cost_micros) OVER (PARTITION BY campaign_id, date_trunc('day', metric_hour) ORDER BY metric_hour) AS cost_today_micros,
    median(CAST(cost_micros AS DOUBLE)) OVER (PARTITION BY campaign_id, date_part('dow', metric_hour), date_part('hour', metric_hour) ORDER BY metric_hour RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS cost_usual,
    mad(CAST(cost_micros AS DOUBLE)) OVER (PARTITION BY campaign_id, date_part('dow', metric_hour), date_part('hour', metric_hour) ORDER BY metric_hour RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS cost_spread
FROM dense_cells;

-- campaign_id, platform, currency; metric_hour: UTC hour; reported: the platform had a row.
-- *_24h, *_7d, *_28d: sums over the trailing hours, this one included (micros: 10^-6 currency).
-- ctr_24h, cvr_7d: shares; cpc_24h, cpa_7d, cpa_28d: currency; roas_7d, roas_28d: value per cost.
-- pacing: spend since UTC midnight as a share of the daily budget.
-- cost_zscore: this hour's cost against the same hour of the week in the last 28 days.
CREATE MATERIALIZED VIEW campaign_features WITH (time_column = 'metric_hour') AS
SELECT campaign_id, platform, currency, metric_hour, reported,
    impressions, clicks, cost_micros, conversions, value_micros,
    impressions_24h, clicks_24h, cost_24h_micros, conversions_24h,
    impressions_7d, clicks_7d, cost_7d_micros, conversions_7d, value_7d_micros,
    cost_28d_micros, conversions_28d, value_28d_micros,
    CAST(clicks_24h AS DOUBLE) / NULLIF(impressions_24h, 0) AS ctr_24h,
    CAST(conversions_7d AS DOUBLE) / NULLIF(clicks_7d, 0) AS cvr_7d,
    CAST(cost_24h_micros AS DOUBLE) / 1000000 / NULLIF(clicks_24h, 0) AS cpc_24h,
    CAST(cost_7d_micros AS DOUBLE) / 1000000 / NULLIF(CAST(conversions_7d AS DOUBLE), 0) AS cpa_7d,
    CAST(cost_28d_micros AS DOUBLE) / 1000000 / NULLIF(CAST(conversions_28d AS DOUBLE), 0) AS cpa_28d,
    CAST(value_7d_micros AS DOUBLE) / NULLIF(cost_7d_micros, 0) AS roas_7d,
    CAST(value_28d_micros AS DOUBLE) / NULLIF(cost_28d_micros, 0) AS roas_28d,
    CAST(cost_today_micros AS DOUBLE) / NULLIF(daily_budget_micros, 0) AS pacing,
    robust_zscore(CAST(cost_micros AS DOUBLE), cost_usual, cost_spread) AS cost_zscore
FROM rolling_cells;

-- platform, currency, day (UTC); sums in the currency's micros; campaigns with any cost that day.
CREATE MATERIALIZED VIEW platform_daily WITH (time_column = 'day') AS
SELECT platform, currency, date_trunc('day', metric_hour) AS day,
       sum(impressions) AS impressions, sum(clicks) AS clicks, sum(cost_micros) AS cost_micros,
       sum(conversions) AS conversions, count(DISTINCT campaign_id) AS campaigns
FROM ad_metrics
GROUP BY platform, currency, date_trunc('day', metric_hour);
