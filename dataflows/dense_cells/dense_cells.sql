-- What did each ad and campaign do in every hour and local day, those without a row included?
--
-- Inputs: ads, campaigns, accounts (currency, time zone), hours (what platforms delivered), ad_hours,
-- ad_metrics.
-- Output: dense_ad_cells and dense_campaign_cells, one row per ad or campaign and hour from its
-- launch to the last hour that its platform delivered; dense_campaign_days, one row per campaign
-- and day of its account's time zone.
-- Platforms omit hours of zeros: such an hour has zeros here and reported = false. An hour that the
-- platform has not delivered has no row. Windows over these views need no gaps filled.

CREATE VIEW campaign_places AS
SELECT c.campaign_id, c.platform, c.account_id, a.currency, a.tz, c.launch_hour
FROM campaigns c JOIN accounts a ON c.account_id = a.account_id;

CREATE VIEW campaign_clock AS
SELECT c.campaign_id, c.platform, c.account_id, c.currency, c.tz, h.metric_hour
FROM campaign_places c JOIN hours h ON c.platform = h.platform AND h.metric_hour >= c.launch_hour;

CREATE VIEW ad_clock AS
SELECT a.ad_id, a.adset_id, a.campaign_id, a.platform, a.account_id, a.currency, a.tz, h.metric_hour
FROM (SELECT d.ad_id, d.adset_id, d.campaign_id, c.platform, c.account_id, c.currency, c.tz,
             d.launch_hour
      FROM ads d JOIN campaign_places c ON d.campaign_id = c.campaign_id) a
JOIN hours h ON a.platform = h.platform AND h.metric_hour >= a.launch_hour;

-- An account may change the attribution window of its main numbers: one row per hour all the same.
CREATE VIEW reported_campaign_cells AS
SELECT campaign_id, platform, metric_hour,
       sum(impressions) AS impressions, sum(clicks) AS clicks, sum(cost_micros) AS cost_micros,
       sum(conversions) AS conversions, sum(conversions_value_micros) AS value_micros
FROM ad_metrics
GROUP BY campaign_id, platform, metric_hour;

-- ad_id, adset_id, campaign_id, platform, account_id; metric_hour: UTC.
-- local_day, local_hour: of the account's clocks, local_hour without a zone.
-- reported: the platform had a row; impressions, clicks: count; cost_micros: 10^-6 of currency.
CREATE MATERIALIZED VIEW dense_ad_cells WITH (time_column = 'metric_hour') AS
SELECT c.ad_id, c.adset_id, c.campaign_id, c.platform, c.account_id, c.currency, c.metric_hour,
       local_day(c.metric_hour, c.tz) AS local_day, local_hour(c.metric_hour, c.tz) AS local_hour,
       f.impressions IS NOT NULL AS reported,
       coalesce(f.impressions, 0) AS impressions, coalesce(f.clicks, 0) AS clicks,
       coalesce(f.cost_micros, 0) AS cost_micros
FROM ad_clock c LEFT JOIN ad_hours f
  ON c.platform = f.platform AND c.ad_id = f.ad_id AND c.metric_hour = f.metric_hour;

-- The same per campaign; conversions: attributed in the account's main window, fractional;
-- value_micros: their value, 10^-6 of currency; tz: IANA zone of the account.
CREATE MATERIALIZED VIEW dense_campaign_cells WITH (time_column = 'metric_hour') AS
SELECT c.campaign_id, c.platform, c.account_id, c.currency, c.tz, c.metric_hour,
       local_day(c.metric_hour, c.tz) AS local_day, local_hour(c.metric_hour, c.tz) AS local_hour,
       f.impressions IS NOT NULL AS reported,
       coalesce(f.impressions, 0) AS impressions, coalesce(f.clicks, 0) AS clicks,
       coalesce(f.cost_micros, 0) AS cost_micros, coalesce(f.conversions, 0) AS conversions,
       coalesce(f.value_micros, 0) AS value_micros
FROM campaign_clock c LEFT JOIN reported_campaign_cells f
  ON c.campaign_id = f.campaign_id AND c.platform = f.platform AND c.metric_hour = f.metric_hour;

CREATE VIEW campaign_day_sums AS
SELECT campaign_id, platform, account_id, currency, tz, local_day, count(*) AS hours,
       count(*) FILTER (WHERE reported) AS hours_reported,
       sum(impressions) AS impressions, sum(clicks) AS clicks, sum(cost_micros) AS cost_micros,
       sum(conversions) AS conversions, sum(value_micros) AS value_micros
FROM dense_campaign_cells
GROUP BY campaign_id, platform, account_id, currency, tz, local_day;

-- local_day: of the account; begins_at: when it begins, UTC; hours_in_day: how long it is (23 or 25
-- when clocks change); hours: how many of them the platform delivered since launch; a day is
-- complete when hours = hours_in_day; hours_reported: in how many of them the campaign had a row.
CREATE MATERIALIZED VIEW dense_campaign_days WITH (time_column = 'local_day') AS
SELECT campaign_id, platform, account_id, currency, local_day,
       day_start(local_day, tz) AS begins_at, hours_in_day(local_day, tz) AS hours_in_day,
       hours, hours_reported, impressions, clicks, cost_micros, conversions, value_micros
FROM campaign_day_sums;
