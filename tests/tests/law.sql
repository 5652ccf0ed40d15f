-- One maintained query per line; tests/law.rs checks each against DataFusion at every time.
project: SELECT k + 1 AS k1, upper(s) AS us, v * 2 AS v2, f, h FROM t WHERE v % 3 <> 0
case_when: SELECT CASE WHEN v > 10 THEN 'hi' WHEN v IS NULL THEN 'none' ELSE 'lo' END AS c, coalesce(s, '-') AS s FROM t
count_sum: SELECT k, sum(v) AS sv, count(*) AS n, count(v) AS nv FROM t GROUP BY k
decimals: SELECT s, sum(d) AS sd, avg(d) AS ad, min(d) AS mind FROM t GROUP BY s
averages: SELECT k, avg(v) AS av, avg(f) AS af, sum(f) AS sf FROM t WHERE NOT isnan(f) GROUP BY k
extremes: SELECT k, min(v) AS lo, max(v) AS hi, min(s) AS first_s, max(h) AS last_h FROM t GROUP BY k
robust: SELECT k, median(v) AS med, mad(v) AS m, quantile(v, 0.9) AS q FROM t GROUP BY k
spread: SELECT s, stddev(v) AS sd, count(DISTINCT v) AS dv FROM t GROUP BY s
filtered: SELECT k, count(*) FILTER (WHERE v > 5) AS big, sum(v) FILTER (WHERE s = 'a') AS sa FROM t GROUP BY k
global: SELECT sum(v) AS sv, count(*) AS n, max(s) AS ms FROM t
global_sum: SELECT sum(v) AS sv, count(*) AS n FROM t WHERE k = 99
grouped_expr: SELECT date_bin(INTERVAL '6 hours', h) AS b, count(*) AS n, sum(d) AS sd FROM t GROUP BY 1
having: SELECT s, count(*) AS n FROM t GROUP BY s HAVING count(*) > 2
inner_join: SELECT t.k, t.v + u.v AS x, u.s FROM t JOIN u ON t.k = u.k WHERE t.v > 10
theta: SELECT t.k, u.s FROM t JOIN u ON t.k = u.k AND t.v < u.v
left_join: SELECT t.k, t.v, u.v AS uv, u.s AS us FROM t LEFT JOIN u ON t.k = u.k AND t.s = u.s
expr_join: SELECT t.v, u.v AS uv FROM t JOIN u ON t.k + 1 = u.k
using_join: SELECT k, t.v, u.v AS uv FROM t JOIN u USING (k)
comma_join: SELECT t.k, u.v FROM t, u WHERE t.k = u.k AND t.v > u.v
join_group: SELECT u.s, sum(t.v) AS sv, count(*) AS n FROM t JOIN u ON t.k = u.k GROUP BY u.s
union_all: SELECT k, v FROM t UNION ALL SELECT k, v FROM u WHERE v > 0
union_set: SELECT k FROM t UNION SELECT v FROM u
distinct_rows: SELECT DISTINCT k, s, f FROM t
nested: SELECT k, n * 2 AS n2 FROM count_sum WHERE n > 1
nested_join: SELECT c.k, c.sv, e.hi FROM count_sum c LEFT JOIN extremes e ON c.k = e.k
subquery: SELECT b, avg(n) AS an FROM (SELECT date_trunc('day', h) AS b, k, count(*) AS n FROM t GROUP BY 1, 2) GROUP BY b
cte: WITH big AS (SELECT * FROM t WHERE v > 15) SELECT s, count(*) AS n FROM big GROUP BY s
strings: SELECT length(s) AS l, s || '!' AS e, substr(s, 1, 1) AS c, regexp_replace(s, 'b', 'x') AS r FROM t
w_range: SELECT k, h, v, sum(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '6 hours' PRECEDING AND CURRENT ROW) AS s6, count(*) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '6 hours' PRECEDING AND CURRENT ROW) AS n6 FROM t
w_range_past: SELECT k, h, median(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '10 hours' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS m, mad(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '10 hours' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS d FROM t
w_range_ahead: SELECT s, h, max(v) OVER (PARTITION BY s ORDER BY h RANGE BETWEEN INTERVAL '2 hours' FOLLOWING AND INTERVAL '5 hours' FOLLOWING) AS hi, min(d) OVER (PARTITION BY s ORDER BY h RANGE BETWEEN INTERVAL '3 hours' PRECEDING AND INTERVAL '3 hours' FOLLOWING) AS lo FROM t
w_range_desc: SELECT k, h, sum(d) OVER (PARTITION BY k ORDER BY h DESC RANGE BETWEEN INTERVAL '4 hours' PRECEDING AND CURRENT ROW) AS sd, avg(v) OVER (PARTITION BY k ORDER BY h DESC RANGE BETWEEN INTERVAL '4 hours' PRECEDING AND CURRENT ROW) AS av FROM t
w_range_int: SELECT s, v, count(*) OVER (PARTITION BY s ORDER BY v RANGE BETWEEN 3 PRECEDING AND 2 FOLLOWING) AS n FROM t
w_default: SELECT k, h, sum(v) OVER (PARTITION BY k ORDER BY h) AS running, count(*) OVER (PARTITION BY k) AS n FROM t
w_default_two: SELECT k, s, h, count(*) OVER (PARTITION BY k ORDER BY s, h DESC) AS n FROM t
w_rows: SELECT k, h, v, sum(v) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS sv, min(v) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS mv FROM t
w_rows_past: SELECT k, h, s, v, count(v) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 5 PRECEDING AND 3 PRECEDING) AS n FROM t
w_rows_ahead: SELECT k, h, s, v, max(v) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 1 FOLLOWING AND 4 FOLLOWING) AS hi FROM t
w_number: SELECT k, h, s, v, row_number() OVER (PARTITION BY k ORDER BY h, v) AS n FROM t
w_lag: SELECT k, h, s, v, lag(v) OVER (PARTITION BY k ORDER BY h) AS p, lead(v, 2) OVER (PARTITION BY k ORDER BY h) AS q, lag(v, 3, -1) OVER (PARTITION BY k ORDER BY h) AS z FROM t
w_ends: SELECT k, h, s, v, first_value(v) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) AS f, last_value(s) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING) AS l FROM t
w_unbounded: SELECT k, h, max(v) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS hi, sum(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS rest FROM t
w_expressions: SELECT k, date_trunc('day', h) AS day, sum(v * 2) OVER (PARTITION BY k % 2, s ORDER BY date_trunc('day', h)) AS sv FROM t
w_over_group: SELECT k, b, n, sum(n) OVER (PARTITION BY k ORDER BY b RANGE BETWEEN INTERVAL '12 hours' PRECEDING AND CURRENT ROW) AS n12 FROM (SELECT k, date_bin(INTERVAL '6 hours', h) AS b, count(*) AS n FROM t GROUP BY 1, 2)
w_two: SELECT k, s, h, v, sum(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '3 hours' PRECEDING AND CURRENT ROW) AS a, lag(h) OVER (PARTITION BY s ORDER BY h) AS b, sum(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '3 hours' PRECEDING AND CURRENT ROW) + 1 AS c FROM t
w_spread: SELECT k, h, quantile(v, 0.75) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS q FROM t WHERE v IS NOT NULL
w_nearest: SELECT k, h, s, v, nearest_window(v, 1, 3) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 20 PRECEDING AND CURRENT ROW) AS a, nearest_window(d, 2, 2) OVER (PARTITION BY k ORDER BY h ROWS BETWEEN 30 PRECEDING AND CURRENT ROW) AS b FROM t
w_novel: SELECT k, h, v, n, CASE WHEN n >= 0.4 AND (coalesce(max(n) OVER (PARTITION BY k ORDER BY h, v ROWS BETWEEN 6 PRECEDING AND 1 PRECEDING), 0) < 0.4 OR n >= 2 * max(n) OVER (PARTITION BY k ORDER BY h, v ROWS BETWEEN 6 PRECEDING AND 1 PRECEDING)) THEN 1 ELSE 0 END AS alert FROM (SELECT k, h, v, CASE WHEN q - m + 0.05 * span > 0 THEN greatest(0, (e - m) / (q - m + 0.05 * span)) ELSE 0 END AS n FROM (SELECT k, h, v, e, span, quantile(e, 0.5) OVER (PARTITION BY k ORDER BY h, v ROWS BETWEEN 25 PRECEDING AND 1 PRECEDING) AS m, quantile(e, 0.95) OVER (PARTITION BY k ORDER BY h, v ROWS BETWEEN 25 PRECEDING AND 1 PRECEDING) AS q FROM (SELECT k, h, v, nearest_window(v, 2, 3) OVER (PARTITION BY k ORDER BY h, v ROWS BETWEEN 24 PRECEDING AND CURRENT ROW) AS e, max(v) OVER (PARTITION BY k ORDER BY h, v ROWS BETWEEN 24 PRECEDING AND CURRENT ROW) - min(v) OVER (PARTITION BY k ORDER BY h, v ROWS BETWEEN 24 PRECEDING AND CURRENT ROW) AS span FROM t WHERE v IS NOT NULL)))
w_fused: SELECT k, s, h, v, sum(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '6 hours' PRECEDING AND CURRENT ROW) AS s6, median(v) OVER (PARTITION BY k, s ORDER BY h RANGE BETWEEN INTERVAL '20 hours' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS m, count(v) OVER (PARTITION BY k, s ORDER BY h RANGE BETWEEN INTERVAL '20 hours' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS n, max(d) OVER (PARTITION BY k, s ORDER BY h RANGE BETWEEN INTERVAL '9 hours' PRECEDING AND INTERVAL '3 hours' FOLLOWING) AS hi FROM t
w_fused_slot: SELECT k, h, v, s7, sum(v) OVER (PARTITION BY k, date_part('hour', h) ORDER BY h RANGE BETWEEN INTERVAL '3 days' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS usual, mad(CAST(v AS DOUBLE)) OVER (PARTITION BY k, date_part('hour', h) ORDER BY h RANGE BETWEEN INTERVAL '3 days' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS spread, quantile(v, 0.5) OVER (PARTITION BY k, date_part('hour', h) ORDER BY h RANGE BETWEEN INTERVAL '3 days' PRECEDING AND CURRENT ROW) AS q FROM (SELECT k, h, v, avg(v) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '7 hours' PRECEDING AND CURRENT ROW) AS s7 FROM t WHERE v IS NOT NULL)
w_fused_coarse: SELECT k, s, h, v, min(v) OVER (PARTITION BY k, s ORDER BY h RANGE BETWEEN INTERVAL '5 hours' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS e, total FROM (SELECT k, s, h, v, sum(d) OVER (PARTITION BY k, s ORDER BY h RANGE BETWEEN INTERVAL '4 hours' PRECEDING AND CURRENT ROW) AS total, count(*) OVER (PARTITION BY k ORDER BY h RANGE BETWEEN INTERVAL '4 hours' PRECEDING AND CURRENT ROW) AS n FROM t)
local_times: SELECT k, at, local_day(at, zone) AS d, local_hour(at, zone) AS lh, day_start(local_day(at, zone), zone) AS b, hours_in_day(local_day(at, zone), zone) AS n FROM (SELECT k, h + INTERVAL '20540 days' AS at, CASE s WHEN 'a' THEN 'Europe/Berlin' WHEN 'bb' THEN 'Asia/Beirut' WHEN '' THEN 'Asia/Kolkata' END AS zone FROM t)
local_days: SELECT local_day(h + INTERVAL '20519 days', 'America/New_York') AS d, count(*) AS n, sum(v) AS sv FROM t GROUP BY 1
converted: SELECT k, convert_micros(v * 1000003, abs(d) + 1, CAST('0.923457' AS DECIMAL(18,6))) AS c, convert_micros(sv, 2, 3) AS sc FROM (SELECT k, v, d, sum(v) OVER (PARTITION BY k) AS sv FROM t)
actions_once: SELECT p, f, h, l, sum(v) AS sv, count(*) AS n FROM (SELECT p, f, h, l, v, min(l) OVER (PARTITION BY p, f, h) AS w FROM (SELECT p, h, v, action_family(p, a) AS f, action_level(p, a) AS l FROM (SELECT h, v, CASE WHEN k = 1 THEN 'google' WHEN k > 1 THEN 'meta' END AS p, CASE s WHEN 'a' THEN 'omni_purchase' WHEN 'bb' THEN 'purchase' WHEN '' THEN 'offsite_conversion.fb_pixel_purchase' ELSE 'app_custom_event.fb_mobile_purchase' END AS a FROM t WHERE v IS NOT NULL))) WHERE l = w GROUP BY p, f, h, l
carried: SELECT k, day, max(known) OVER (PARTITION BY k ORDER BY day RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) AS last_day FROM (SELECT c.k, c.day, r.day AS known FROM (SELECT a.k, b.day FROM (SELECT DISTINCT k, 1 AS e FROM t) a JOIN (SELECT DISTINCT CAST(h AS DATE) AS day, 1 AS e FROM t) b ON a.e = b.e) c LEFT JOIN (SELECT DISTINCT k, CAST(h AS DATE) AS day FROM u WHERE v > 30) r ON c.k = r.k AND c.day = r.day)
interval_join: SELECT t.k, t.h, u.h AS since, u.v FROM t JOIN u ON t.k = u.k AND date_trunc('day', t.h) = date_trunc('day', u.h) AND t.h > u.h - INTERVAL '1 hour' AND t.h <= u.h + INTERVAL '5 hours'
marks: SELECT k, h, sum(a) AS a, sum(b) > 0 AS b FROM (SELECT k, h, 0 AS a, 0 AS b FROM t UNION ALL SELECT t.k, t.h, 1 AS a, CASE WHEN u.s = 'a' THEN 1 ELSE 0 END AS b FROM t JOIN u ON t.k = u.k AND t.h >= u.h AND t.v > 20) GROUP BY k, h
