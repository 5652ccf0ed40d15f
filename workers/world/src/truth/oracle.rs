//! What an observer expects who knows the world's parameters and its known events, but neither its
//! drift nor its incidents: means, the noise law around them, and how odd a number is.

use libm::{log, pow};

use super::Scope;
use crate::World;
use crate::rates::{KNOWN, Rate};

/// A standardised number beyond this is odd: one chance in seven million per normal test.
pub const ODD: f64 = 5.2;
/// A budget may stop a campaign in hours that it would reach if volume were this much higher.
pub(crate) const HOT: f64 = 2.0;

/// What is compared with its expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Statistic {
    /// Impressions.
    Impressions,
    /// Clicks, given the impressions.
    Ctr,
    /// Cost, given clicks and impressions.
    Cpc,
    /// Conversions, given the clicks and their ages.
    Cvr,
    /// Value, given the conversions.
    Value,
    /// Comments, given the impressions.
    Comments,
    /// Whether every number of a day is even.
    Parity,
    /// Whether a platform's hours are there.
    Lateness,
}

impl Statistic {
    /// As the truth table writes it.
    pub fn name(self) -> &'static str {
        match self {
            Statistic::Impressions => "impressions",
            Statistic::Ctr => "ctr",
            Statistic::Cpc => "cpc",
            Statistic::Cvr => "cvr",
            Statistic::Value => "value_per_conversion",
            Statistic::Comments => "comments",
            Statistic::Parity => "all_even",
            Statistic::Lateness => "lateness",
        }
    }
}

/// How far `count` lies above its mean, in standard deviations; `variance` is that of the factor on
/// the mean. The smaller of a root and a logarithmic scale: the first is too bold for factors with
/// a long tail, the second for small counts.
pub fn above(count: f64, mean: f64, variance: f64) -> f64 {
    let root = root(count, mean, variance);
    let scale = (variance + 1.0 / (mean + 0.5)).sqrt();
    root.min(log((count + 0.5) / (mean + 0.5)) / scale)
}

/// How far `count` lies below its mean.
pub fn below(count: f64, mean: f64, variance: f64) -> f64 {
    -root(count, mean, variance)
}

/// Anscombe (1948), widened by the factor's variance.
fn root(count: f64, mean: f64, variance: f64) -> f64 {
    let scale = (1.0 + mean * variance).sqrt();
    2.0 * ((count.max(0.0) + 0.375).sqrt() - (mean + 0.375).sqrt()) / scale
}

/// How far an amount lies from its mean, either way; positive is above.
pub fn amount(amount: f64, mean: f64, variance: f64) -> f64 {
    if amount <= 0.0 || mean <= 0.0 { 0.0 } else { log(amount / mean) / variance.sqrt() }
}

/// Variances of the factors on a scope's numbers, beyond counting.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Of volume: what its campaigns do alone, weighted.
    pub volume: f64,
    /// Of click-through rate.
    pub ctr: f64,
    /// Of conversion rate.
    pub cvr: f64,
    /// Of cost per click.
    pub cpc: f64,
    /// Variance of a single value over its squared mean.
    pub value: f64,
    /// Mean of the hour's over-dispersion.
    pub dispersion: f64,
}

impl World {
    /// What the parameters and known events say of a campaign's UTC day: hour by hour, ad by ad.
    pub fn known_rates(&self, campaign: usize, day: i64) -> Vec<Rate> {
        self.day_rates(campaign, day, KNOWN)
    }

    /// The noise law of a scope. Campaigns weigh as their volumes do.
    pub fn noise(&self, scope: Scope) -> Noise {
        let all: Vec<&crate::entities::Campaign> =
            self.campaigns_of(scope).into_iter().map(|c| &self.entities.campaigns[c]).collect();
        let total: f64 = all.iter().map(|c| c.volume).sum();
        let mean = |of: &dyn Fn(&crate::entities::Campaign) -> f64, power: f64| -> f64 {
            all.iter().map(|c| pow(c.volume / total, power) * of(c)).sum()
        };
        // Conversion and click rates weigh as clicks do, which are less skewed: linear weights are
        // the safe side.
        let k = &self.climate;
        let shared = k.market_drift * k.market_drift
            + k.platform_drift * k.platform_drift
            + k.brand_drift * k.brand_drift;
        let hour = k.hourly_ctr * k.hourly_ctr;
        Noise {
            volume: shared + mean(&|c| c.volume_drift * c.volume_drift, 2.0),
            ctr: hour / 3.0 + mean(&|c| c.ctr_drift * c.ctr_drift, 1.0),
            cvr: mean(&|c| c.cvr_drift * c.cvr_drift, 1.0),
            cpc: mean(&|c| c.cpc_drift * c.cpc_drift, 1.0),
            value: mean(&|c| libm::exp(c.value_spread * c.value_spread) - 1.0, 1.0),
            dispersion: mean(&|c| c.dispersion, 1.0) * 1.5,
        }
    }

    /// The share of a campaign's main conversions that its window shows at an age, and its mean
    /// credit: conversions expected per conversion made.
    pub fn ripe(&self, campaign: usize, hour: i64, seen: i64) -> f64 {
        let c = &self.entities.campaigns[campaign];
        let window = self.main_window(c.account, hour);
        let age = (seen - hour) as f64 / 24.0 - 0.5 / 24.0;
        c.actions[0].lag.reported(age, window.days)
    }

    /// Comments per impression of an ad's brand; 0 where nobody comments.
    pub fn comment_rate(&self, ad: usize) -> f64 {
        let c = &self.entities.campaigns[self.entities.ads[ad].campaign];
        if c.platform == 0 { 0.0 } else { self.entities.brands[c.brand].comments }
    }

    /// Mean credit of a campaign's conversions, 0 to 1.
    pub fn credit(&self, campaign: usize) -> f64 {
        crate::conversions::credit(self.entities.campaigns[campaign].platform)
    }
}
