//! Where every parameter of a world comes from: one table.
//!
//! Broad on purpose. A detector that fits one world's parameters fits nothing.

use libm::{exp, log, pow};

use crate::keyed::Draw;

/// A distribution of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Law {
    /// Flat between two values.
    Uniform(f64, f64),
    /// Flat in the logarithm between two values.
    LogUniform(f64, f64),
    /// Log-normal: median, and standard deviation of the logarithm.
    LogNormal(f64, f64),
    /// Pareto: smallest value, exponent, cut.
    Pareto(f64, f64, f64),
}

/// A parameter's name, law, unit and reason.
#[derive(Clone, Copy, Debug)]
pub struct Prior {
    /// What it is.
    pub name: &'static str,
    /// What is it drawn for: the world, a brand, a campaign, an ad, an incident.
    pub of: &'static str,
    /// Its distribution.
    pub law: Law,
    /// Its unit.
    pub unit: &'static str,
    /// Why so.
    pub why: &'static str,
}

impl Prior {
    pub(crate) fn draw(&self, draw: &mut Draw) -> f64 {
        match self.law {
            Law::Uniform(low, high) => draw.between(low, high),
            Law::LogUniform(low, high) => exp(draw.between(log(low), log(high))),
            Law::LogNormal(median, sd) => median * exp(sd * draw.normal()),
            Law::Pareto(least, exponent, most) => {
                (least * pow(draw.unit(), -1.0 / exponent)).min(most)
            }
        }
    }
}

macro_rules! priors {
    ($($id:ident: $of:literal, $law:expr, $unit:literal, $name:literal, $why:literal;)*) => {
        $(pub(crate) const $id: Prior =
            Prior { name: $name, of: $of, law: $law, unit: $unit, why: $why };)*
        /// The table, as the README prints it.
        pub const PRIORS: &[Prior] = &[$($id),*];
    };
}

use Law::{LogNormal, LogUniform, Pareto, Uniform};

priors! {
    VOLUME_LEAST: "world", LogUniform(14.0, 32.0), "impressions/h", "smallest mean volume of a campaign", "with the CTR and CVR below, the median campaign has under one conversion a day";
    VOLUME_EXPONENT: "world", Uniform(0.55, 0.95), "1", "exponent of the power law of volumes", "few campaigns have most of the spend";
    VOLUME_SPREAD: "campaign", Pareto(1.0, 1.0, 100_000.0), "1", "volume over the smallest, to the power of the exponent", "a power law; volumes are cut at 2500 times the smallest";
    DAILY_SWING: "campaign", Uniform(0.25, 0.8), "1", "half range of the daily curve over its mean", "from always-on search to evening social";
    DAILY_PEAK: "campaign", Uniform(11.0, 21.0), "local hour", "hour of the daily peak", "lunch to late evening";
    SECOND_SWING: "campaign", Uniform(0.0, 0.2), "1", "half range of the twice-daily curve", "a morning and an evening peak";
    WEEKEND: "campaign", Uniform(0.6, 1.35), "1", "weekend over weekday volume", "business offers fall, leisure rises";
    YEARLY_SWING: "brand", Uniform(0.05, 0.35), "1", "half range of the yearly curve", "garden furniture more than shampoo";
    YEARLY_PEAK: "brand", Uniform(0.0, 365.0), "day of the year", "day of the yearly peak", "any season";
    CTR_SEARCH: "campaign", LogNormal(0.035, 0.45), "clicks/impression", "click-through rate on google", "search answers a question";
    CTR_SOCIAL: "campaign", LogNormal(0.011, 0.45), "clicks/impression", "click-through rate on meta, tiktok, x", "social interrupts";
    CVR: "campaign", LogNormal(0.025, 0.6), "conversions/click", "conversion rate of the main action", "shops and lead forms alike";
    CPC: "campaign", LogNormal(0.8, 0.6), "USD/click", "cost per click", "converted at the account's rate";
    RETURN: "campaign", LogNormal(2.2, 0.6), "value/cost", "value per cost at the mean rates", "some campaigns are always bad, and never anomalous";
    VALUE_SPREAD: "campaign", Uniform(0.2, 0.7), "sd of log", "spread of single order values", "one price to a whole catalogue";
    BUDGET_ROOM: "campaign", LogNormal(1.8, 0.5), "1", "daily budget over mean daily cost", "about one in eight is short of budget and stops in the evening";
    RHO: "campaign", Uniform(0.3, 0.85), "1/day", "autocorrelation of the campaign's own drift", "a bad day is often followed by one";
    VOLUME_DRIFT: "campaign", LogUniform(0.07, 0.18), "sd of log", "drift of volume, at the middle noise", "auctions move";
    CTR_DRIFT: "campaign", LogUniform(0.03, 0.09), "sd of log", "drift of CTR, at the middle noise", "placements move";
    CVR_DRIFT: "campaign", LogUniform(0.04, 0.12), "sd of log", "drift of CVR, at the middle noise", "the shop's own days";
    CPC_DRIFT: "campaign", LogUniform(0.03, 0.09), "sd of log", "drift of cost per click, at the middle noise", "competitors move";
    DISPERSION: "campaign", LogUniform(0.02, 0.15), "variance of the factor", "over-dispersion of an ad-hour (negative binomial)", "platforms deliver in bursts";
    DISPERSION_DRIFT: "world", Uniform(0.1, 0.5), "sd of log", "drift of the over-dispersion over fortnights", "calm and nervous times";
    HOURLY_CTR: "world", Uniform(0.03, 0.1), "sd of log", "noise of an ad-hour's CTR", "beyond binomial";
    MARKET_DRIFT: "world", LogUniform(0.03, 0.08), "sd of log", "drift common to everyone", "weather, news";
    PLATFORM_DRIFT: "world", LogUniform(0.03, 0.08), "sd of log", "drift common to a platform", "its auction";
    BRAND_DRIFT: "world", LogUniform(0.03, 0.09), "sd of log", "drift common to a brand", "its fame";
    SHOCK_RATE: "world", LogUniform(0.003, 0.02), "1/day", "how often a platform or the market has a shock", "outages, elections";
    SHOCK_SIZE: "world", Uniform(0.25, 0.6), "sd of log", "size of a shock", "seen by all campaigns: context tells it apart";
    HOLIDAY_VOLUME: "world", Uniform(-0.5, 0.5), "log", "a holiday's effect on volume, per country and holiday", "either way, and in the calendar";
    HOLIDAY_CVR: "world", Uniform(-0.3, 0.4), "log", "a holiday's effect on CVR", "gifts or absence";
    LAG_SCALE: "action", LogUniform(0.15, 9.0), "days", "scale of the conversion lag", "from impulse to considered purchases";
    LAG_AT_ONCE: "action", Uniform(0.1, 0.6), "1", "share that converts within the hour", "the visit that ends in the purchase";
    LAG_SHAPE: "action", Uniform(0.6, 1.4), "1", "shape of the lag (Weibull shape, or sd of log)", "heavy tails included";
    RETRACTED: "action", LogUniform(0.005, 0.08), "1", "share taken back later (returns, rejected leads)", "downward restatement, mean 12 days after";
    INVALID: "world", LogUniform(0.003, 0.03), "1", "share of clicks the platform later calls invalid", "cost settles within two days";
    LEARNING_DEPTH: "campaign", Uniform(0.1, 0.4), "1", "CVR missing at launch or after a large edit", "platforms call it the learning phase";
    LEARNING_DAYS: "campaign", Uniform(2.0, 7.0), "days", "scale of the learning phase", "about a week";
    SATURATION: "ad", LogUniform(0.02, 0.12), "1", "exponent of the slow decay of CTR with an ad's age", "ordinary wear, which is no incident";
    AD_QUALITY: "ad", LogNormal(1.0, 0.25), "1", "CTR of an ad over its campaign's", "creatives differ";
    COMMENTS: "brand", LogUniform(0.0002, 0.002), "comments/impression", "how often people comment (social platforms)", "most ads get none";
    GOODWILL: "brand", Uniform(0.35, 0.75), "1", "share of comments that are kind", "brands differ";
    FX_DRIFT: "world", LogUniform(0.003, 0.009), "sd of log per day", "daily move of an exchange rate", "major currencies";
    INCIDENT_RATE: "world", LogUniform(0.10, 0.25), "1/campaign/30 days", "how often something breaks", "rare, but seen";
    RUNAWAY: "incident", LogUniform(3.0, 10.0), "factor", "spend runaway: volume", "a lost cap, a typed zero";
    OUTAGE: "incident", Uniform(0.0, 0.15), "factor", "tracking outage: conversions still reported", "a tag falls out of one template or of all";
    FRAUD: "incident", LogUniform(1.8, 5.0), "factor", "click fraud: clicks", "they never convert";
    FATIGUE: "incident", Uniform(0.3, 0.6), "factor", "creative fatigue: CTR at the end of its ramp", "the same people see it again";
    WRONG_CREATIVE: "incident", Uniform(0.3, 0.65), "factor", "wrong creative: CTR", "another brand's banner";
    FALSE_PROMISE: "incident", LogUniform(1.25, 2.2), "factor", "false promise: CTR (CVR falls to 0.15 to 0.45)", "people come for what is not sold";
    FRONTLOAD: "incident", LogUniform(2.5, 6.0), "factor", "budget gone by noon: pace of the morning", "delivery set to accelerated";
    BID_WAR: "incident", LogUniform(1.6, 3.0), "factor", "bid war: cost per click (volume falls by the root)", "a competitor arrives";
    PAGE_DOWN: "incident", Uniform(0.0, 0.1), "factor", "landing page down: CVR", "some get through";
    COLLAPSE: "incident", Uniform(0.08, 0.35), "factor", "audience collapse: volume of the ad set", "a list expired";
    BOTS: "incident", LogUniform(6.0, 30.0), "factor", "bot comments: comments", "a campaign of spam";
    PRICES: "incident", LogUniform(3.0, 10.0), "factor", "wrong prices in the feed: value divided by", "net for gross, cents for euros";
    EDIT: "twin", LogUniform(1.5, 5.0), "factor", "an edit's effect, up or down", "as large as incidents are, but in change_events";
    PROMOTION: "twin", LogUniform(1.3, 2.6), "factor", "a promotion's effect on volume and CVR", "in planned_events";
}
