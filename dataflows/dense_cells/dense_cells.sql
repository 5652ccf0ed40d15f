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

CREATE VIEW ad_places AS
SELECT a.ad_id, a.adset_id, a.campaign_id, c.platform, c.account_id, c.currency, c.tz, a.launch_hour
FROM ads a JOIN campaign_places c ON a.campaign_id = c.campaign_id;

-- A row of zeros for each hour that was delivered, and a row for each that was reported. Adding
-- them up keeps one cell per ad and hour; a LEFT JOIN would keep three.
CREATE VIEW ad_marks AS
SELECT p.ad_id, p.adset_id, p.campaign_id, p.platform, p.account_id, p.currency, p.tz, h.metric_hour,
       1 AS delivered, 0 AS reported, 0 AS impressions, 0 AS clicks, 0 AS cost_micros
FROM ad_places p JOIN hours h ON p.platform = h.platform AND h.metric_hour >= p.launch_hour
UNION ALL
SELECT p.ad_id, p.adset_id, p.campaign_id, p.platform, p.account_id, p.currency, p.tz, f.metric_hour,
       0 AS delivered, 1 AS reported, f.impressions, f.clicks, f.cost_micros
FROM ad_hours f JOIN ad_places p
  ON f.ad_id = p.ad_id AND f.platform = p.platform AND f.metric_hour >= p.launch_hour;

CREATE VIEW ad_cells AS
SELECT ad_id, adset_id, campaign_id, platform, account_id, currency, tz, metric_hour,
       sum(reported) > 0 AS reported, sum(impressions) AS impressions, sum(clicks) AS clicks,
       sum(cost_micros) AS cost_micros
FROM ad_marks
GROUP BY ad_id, adset_id, campaign_id, platform, account_id, currency, tz, metric_hour
HAVING sum(delivered) > 0;

-- ad_id, adset_id, campaign_id, platform, account_id; metric_hour: UTC.
-- local_day, local_hour: of the account's clocks, local_hour without a zone.
-- reported: the platform had a row; impressions, clicks: count; cost_micros: 10^-6 of currency.
CREATE MATERIALIZED VIEW dense_ad_cells WITH (time_column = 'metric_hour') AS
SELECT ad_id, adset_id, campaign_id, platform, account_id, currency, metric_hour,
       local_day(metric_hour, tz) AS local_day, local_hour(metric_hour, tz) AS local_hour,
       reported, impressions, clicks, cost_micros
FROM ad_cells;

CREATE VIEW campaign_marks AS
SELECT p.campaign_id, p.platform, p.account_id, p.currency, p.tz, h.metric_hour,
       1 AS delivered, 0 AS reported, 0 AS impressions, 0 AS clicks, 0 AS cost_micros,
       CAST(0 AS DECIMAL(18,6)) AS conversions, 0 AS value_micros
FROM campaign_places p JOIN hours h ON p.platform = h.platform AND h.metric_hour >= p.launch_hour
UNION ALL
SELECT p.campaign_id, p.platform, p.account_id, p.currency, p.tz, f.metric_hour,
       0 AS delivered, 1 AS reported, f.impressions, f.clicks, f.cost_micros,
       f.conversions, f.conversions_value_micros AS value_micros
FROM ad_metrics f JOIN campaign_places p
  ON f.campaign_id = p.campaign_id AND f.platform = p.platform AND f.metric_hour >= p.launch_hour;

CREATE VIEW campaign_cells_by_clock AS
SELECT campaign_id, platform, account_id, currency, tz, metric_hour,
       sum(reported) > 0 AS reported, sum(impressions) AS impressions, sum(clicks) AS clicks,
       sum(cost_micros) AS cost_micros, sum(conversions) AS conversions,
       sum(value_micros) AS value_micros
FROM campaign_marks
GROUP BY campaign_id, platform, account_id, currency, tz, metric_hour
HAVING sum(delivered) > 0;

-- The same per campaign; conversions: attributed in the account's main window, fractional;
-- value_micros: their value, 10^-6 of currency; tz: IANA zone of the account.
CREATE MATERIALIZED VIEW dense_campaign_cells WITH (time_column = 'metric_hour') AS
SELECT campaign_id, platform, account_id, currency, tz, metric_hour,
       local_day(metric_hour, tz) AS local_day, local_hour(metric_hour, tz) AS local_hour,
       reported, impressions, clicks, cost_micros, conversions, value_micros
FROM campaign_cells_by_clock;

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
