-- How is each campaign doing, hour by hour, and what is known that may explain it?
--
-- Inputs: campaign_features and known_events, which have to run too:
--   tidewatch run schemas dataflows/campaign_features dataflows/known_events \
--                 dataflows/known_features --lake ./lake
-- Output: known_features, one row per campaign and hour, as in campaign_features. Hours to look at
-- are those with a large abs(cost_zscore) and NOT known.
-- It holds the features once more; joining the two views when you query them costs no state.

-- The columns of campaign_features, then those of known_events.
CREATE MATERIALIZED VIEW known_features WITH (time_column = 'metric_hour') AS
SELECT f.*, k.promotion, k.maintenance, k.press, k.holiday, k.shopping,
       k.edits_24h, k.edits_72h, k.tracking_edits_72h, k.known
FROM campaign_features f JOIN known_events k
  ON f.campaign_id = k.campaign_id AND f.platform = k.platform AND f.metric_hour = k.metric_hour;
