-- How many conversions did each ad have, each counted once?
--
-- Inputs: conversions (as reported, per action type and attribution window, restated).
-- Output: conversions_once, one row per ad, hour, attribution window and family of action types.
-- Meta reports one purchase as omni_purchase, purchase, offsite_conversion.fb_pixel_purchase and
-- under up to five more names: of each family, only the types of the widest level count that the
-- ad's hour has (action_level, 1 = omni_…). What a pixel saw and what an app reported are parts of
-- the whole, so at that level they are added up. A wider type that comes later takes over; one
-- that is withdrawn (its row goes, or its numbers become null) gives back. Types of Google, TikTok
-- and X do not overlap and pass through, each its own family.
-- Attribution windows overlap too (7d_click holds 1d_click): choose one, never add them up. Meta's
-- 1d_view and its click windows exclude each other.

CREATE VIEW levelled_conversions AS
SELECT platform, account_id, campaign_id, adset_id, ad_id, metric_hour, attribution_window,
       action_family(platform, action_type) AS action_family,
       action_level(platform, action_type) AS action_level,
       currency, conversions, conversions_value_micros
FROM conversions
WHERE conversions IS NOT NULL OR conversions_value_micros IS NOT NULL;

CREATE VIEW overlapping_conversions AS
SELECT *, min(action_level) OVER (PARTITION BY platform, ad_id, metric_hour, attribution_window,
                                               action_family) AS widest_level
FROM levelled_conversions
WHERE platform = 'meta';

-- platform, account_id, campaign_id, adset_id, ad_id; metric_hour: hour of the click or view, UTC.
-- attribution_window: which conversions count, e.g. 7d_click.
-- action_family: the event, e.g. purchase; action_level: how widely it was counted (1 to 8).
-- conversions: attributed, fractional; value_micros: 10^-6 of currency.
CREATE MATERIALIZED VIEW conversions_once WITH (time_column = 'metric_hour') AS
SELECT platform, account_id, campaign_id, adset_id, ad_id, metric_hour, attribution_window,
       action_family, action_level, currency,
       sum(conversions) AS conversions, sum(conversions_value_micros) AS value_micros
FROM overlapping_conversions
WHERE action_level = widest_level
GROUP BY platform, account_id, campaign_id, adset_id, ad_id, metric_hour, attribution_window,
         action_family, action_level, currency
UNION ALL
SELECT platform, account_id, campaign_id, adset_id, ad_id, metric_hour, attribution_window,
       action_family, action_level, currency,
       CAST(conversions AS DECIMAL(28,6)) AS conversions, conversions_value_micros AS value_micros
FROM levelled_conversions
WHERE platform <> 'meta';
