-- What is known to have happened around each campaign's hour, that may explain its numbers?
--
-- Inputs: planned_events (of the brand), calendar (of the account's country, in its local days),
-- change_events (of the campaign and its account), campaigns, accounts, hours.
-- Output: known_events, one row per campaign and hour from its launch to the last hour that its
-- platform delivered. Join it to features on (campaign_id, platform, metric_hour).
-- An event counts from when it is in the lake, for all hours that it covers: an announcement that
-- comes late, or is moved, restates them.

CREATE VIEW event_places AS
SELECT c.campaign_id, c.platform, c.account_id, c.launch_hour, a.brand, a.country, a.tz
FROM campaigns c JOIN accounts a ON c.account_id = a.account_id;

-- Intervals meet hours once per brand and platform, not once per campaign.
CREATE VIEW planned_hours AS
SELECT p.brand, p.platform, p.kind, h.metric_hour
FROM (SELECT e.brand, b.platform, e.kind, e.begins_at, e.ends_at
      FROM planned_events e
      JOIN (SELECT DISTINCT brand, platform FROM accounts) b ON e.brand = b.brand) p
JOIN hours h ON p.platform = h.platform
            AND h.metric_hour > p.begins_at - INTERVAL '1 hour' AND h.metric_hour < p.ends_at;

-- Days meet hours once per country, zone and platform.
CREATE VIEW calendar_hours AS
SELECT z.country, z.tz, z.platform, z.metric_hour, d.kind
FROM (SELECT a.country, a.tz, a.platform, h.metric_hour, local_day(h.metric_hour, a.tz) AS day
      FROM (SELECT DISTINCT country, tz, platform FROM accounts) a
      JOIN hours h ON a.platform = h.platform) z
JOIN calendar d ON z.country = d.country AND z.day = d.day;

-- Edits and the campaigns that they touch.
CREATE VIEW touching_edits AS
SELECT p.campaign_id, p.platform, p.launch_hour, e.field, e.changed_at
FROM change_events e JOIN event_places p ON e.campaign_id = p.campaign_id
UNION ALL
SELECT p.campaign_id, p.platform, p.launch_hour, e.field, e.changed_at
FROM (SELECT account_id, field, changed_at FROM change_events WHERE campaign_id IS NULL) e
JOIN event_places p ON e.account_id = p.account_id;

-- An edit is remembered for 72 hours: four UTC days at most, which are the key of the join.
CREATE VIEW edit_days AS
SELECT *, date_trunc('day', changed_at) AS day FROM touching_edits
UNION ALL
SELECT *, date_trunc('day', changed_at) + INTERVAL '1 day' AS day FROM touching_edits
UNION ALL
SELECT *, date_trunc('day', changed_at) + INTERVAL '2 days' AS day FROM touching_edits
UNION ALL
SELECT *, date_trunc('day', changed_at) + INTERVAL '3 days' AS day FROM touching_edits;

CREATE VIEW edit_hours AS
SELECT e.campaign_id, e.platform, e.field, e.changed_at, h.metric_hour
FROM edit_days e
JOIN (SELECT platform, metric_hour, date_trunc('day', metric_hour) AS day FROM hours) h
  ON e.platform = h.platform AND e.day = h.day
 AND h.metric_hour > e.changed_at - INTERVAL '1 hour'
 AND h.metric_hour <= e.changed_at + INTERVAL '71 hours'
 AND h.metric_hour >= e.launch_hour;

-- One row of zeros per campaign and hour, and one row per event that touches it.
CREATE VIEW event_marks AS
SELECT p.campaign_id, p.platform, h.metric_hour, 0 AS promotion, 0 AS maintenance, 0 AS press,
       0 AS holiday, 0 AS shopping, 0 AS edits_24h, 0 AS edits_72h, 0 AS tracking_edits_72h
FROM event_places p JOIN hours h ON p.platform = h.platform AND h.metric_hour >= p.launch_hour
UNION ALL
SELECT p.campaign_id, p.platform, e.metric_hour,
       CASE WHEN e.kind = 'promotion' THEN 1 ELSE 0 END AS promotion,
       CASE WHEN e.kind = 'maintenance' THEN 1 ELSE 0 END AS maintenance,
       CASE WHEN e.kind = 'press' THEN 1 ELSE 0 END AS press,
       0 AS holiday, 0 AS shopping, 0 AS edits_24h, 0 AS edits_72h, 0 AS tracking_edits_72h
FROM planned_hours e JOIN event_places p
  ON e.brand = p.brand AND e.platform = p.platform AND e.metric_hour >= p.launch_hour
UNION ALL
SELECT p.campaign_id, p.platform, e.metric_hour, 0 AS promotion, 0 AS maintenance, 0 AS press,
       CASE WHEN e.kind = 'holiday' THEN 1 ELSE 0 END AS holiday,
       CASE WHEN e.kind = 'shopping' THEN 1 ELSE 0 END AS shopping,
       0 AS edits_24h, 0 AS edits_72h, 0 AS tracking_edits_72h
FROM calendar_hours e JOIN event_places p
  ON e.country = p.country AND e.tz = p.tz AND e.platform = p.platform
 AND e.metric_hour >= p.launch_hour
UNION ALL
SELECT campaign_id, platform, metric_hour, 0 AS promotion, 0 AS maintenance, 0 AS press,
       0 AS holiday, 0 AS shopping,
       CASE WHEN metric_hour <= changed_at + INTERVAL '23 hours' THEN 1 ELSE 0 END AS edits_24h,
       1 AS edits_72h,
       CASE WHEN field IN ('conversion_action', 'attribution_window') THEN 1 ELSE 0 END
           AS tracking_edits_72h
FROM edit_hours;

CREATE VIEW event_counts AS
SELECT campaign_id, platform, metric_hour, sum(promotion) AS promotion,
       sum(maintenance) AS maintenance, sum(press) AS press, sum(holiday) AS holiday,
       sum(shopping) AS shopping, sum(edits_24h) AS edits_24h, sum(edits_72h) AS edits_72h,
       sum(tracking_edits_72h) AS tracking_edits_72h
FROM event_marks
GROUP BY campaign_id, platform, metric_hour;

-- campaign_id, platform; metric_hour: UTC.
-- promotion, maintenance, press: a planned event of its brand of that kind covers part of the hour.
-- holiday, shopping: its account's local day is one in the account's country.
-- edits_24h, edits_72h: edits of the campaign, what is in it, or its whole account, in this hour
-- and the 23 or 71 before it (count); tracking_edits_72h: those that change which conversions are
-- counted (conversion_action, attribution_window).
-- known: any of them.
CREATE MATERIALIZED VIEW known_events WITH (time_column = 'metric_hour') AS
SELECT campaign_id, platform, metric_hour,
       promotion > 0 AS promotion, maintenance > 0 AS maintenance, press > 0 AS press,
       holiday > 0 AS holiday, shopping > 0 AS shopping, edits_24h, edits_72h, tracking_edits_72h,
       promotion + maintenance + press + holiday + shopping + edits_72h > 0 AS known
FROM event_counts;
