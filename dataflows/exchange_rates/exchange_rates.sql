-- What is a unit of each currency worth on each day, and what was spent in US dollars?
--
-- Inputs: fx_rates (rates of a day, restated), hours (days that were delivered), ad_metrics.
-- Output: exchange_rates, one row per currency and UTC day; platform_daily_usd, one row per platform
-- and UTC day.
-- Convert with convert_micros(amount_micros, from.per_usd, to.per_usd): exact, rounded once, halves
-- to even. Join on (currency, day) of the hour in which the money was spent. Add up per currency
-- first and convert the sum: amounts of several currencies have none.

CREATE VIEW known_rates AS
SELECT currency, day, per_usd FROM fx_rates WHERE per_usd IS NOT NULL AND currency <> 'USD';

CREATE VIEW rate_days AS
SELECT CAST(metric_hour AS DATE) AS day FROM hours UNION SELECT day FROM fx_rates;

-- Every currency on every day: joined on a constant, for there are few of each.
CREATE VIEW rate_cells AS
SELECT c.currency, d.day
FROM (SELECT DISTINCT currency, 1 AS everywhere FROM known_rates) c
JOIN (SELECT day, 1 AS everywhere FROM rate_days) d ON c.everywhere = d.everywhere;

CREATE VIEW last_rate_days AS
SELECT c.currency, c.day,
       max(r.day) OVER (PARTITION BY c.currency ORDER BY c.day
           RANGE BETWEEN INTERVAL '10 days' PRECEDING AND CURRENT ROW) AS rate_day
FROM rate_cells c LEFT JOIN known_rates r ON c.currency = r.currency AND c.day = r.day;

-- currency: ISO 4217, USD included; day: UTC.
-- per_usd: units of the currency per US dollar, of rate_day.
-- rate_day: the last day up to `day` that has a rate. Weekends and holidays have that of the day
-- before; after ten days without one both are null, and so is what is converted with them.
CREATE MATERIALIZED VIEW exchange_rates WITH (time_column = 'day') AS
SELECT l.currency, l.day, r.per_usd, l.rate_day
FROM last_rate_days l LEFT JOIN known_rates r ON l.currency = r.currency AND l.rate_day = r.day
UNION ALL
SELECT 'USD' AS currency, day, CAST(1 AS DECIMAL(18,6)) AS per_usd, day AS rate_day FROM rate_days;

CREATE VIEW currency_days AS
SELECT platform, currency, CAST(metric_hour AS DATE) AS day,
       sum(cost_micros) AS cost_micros, sum(conversions_value_micros) AS value_micros
FROM ad_metrics
GROUP BY platform, currency, CAST(metric_hour AS DATE);

-- platform; day: UTC; cost_usd_micros, value_usd_micros: 10^-6 US dollars, over all currencies.
-- currencies_without_rate: how many are not in the sums; 0 says that they are complete.
CREATE MATERIALIZED VIEW platform_daily_usd WITH (time_column = 'day') AS
SELECT s.platform, s.day,
       sum(convert_micros(s.cost_micros, r.per_usd, 1)) AS cost_usd_micros,
       sum(convert_micros(s.value_micros, r.per_usd, 1)) AS value_usd_micros,
       sum(CASE WHEN r.per_usd IS NULL THEN 1 ELSE 0 END) AS currencies_without_rate
FROM currency_days s LEFT JOIN exchange_rates r ON s.currency = r.currency AND s.day = r.day
GROUP BY s.platform, s.day;
