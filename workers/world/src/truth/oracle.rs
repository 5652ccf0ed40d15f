//! What an observer expects who knows the world's parameters and its known events, but neither its
//! drift nor its incidents: means, the noise law around them, and how odd a number is.

use libm::{exp, log, pow};

use super::Scope;
use crate::World;
use crate::rates::{KNOWN, Rate};

/// A standardised number beyond this is odd: one chance in ninety million per normal test. Windows
/// overlap, drift is not quite normal, and a world asks some million times.
pub const ODD: f64 = 5.6;
/// A budget may stop a campaign in hours that it would reach if volume were this much higher.
pub(crate) const HOT: f64 = 2.5;

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
/// the mean.
///
/// The likeliest way there: the factor does `u` standard deviations of it, counting does the rest,
/// and the two add up as squares (large deviations).
pub fn above(count: f64, mean: f64, variance: f64) -> f64 {
    if count <= mean + 0.5 {
        -below(count, mean, variance).max(0.0)
    } else {
        far(count - 0.5, mean, variance)
    }
}

/// How far `count` lies below its mean.
pub fn below(count: f64, mean: f64, variance: f64) -> f64 {
    if count + 0.5 >= mean { 0.0 } else { far(count.max(0.0) + 0.5, mean, variance) }
}

/// The smallest norm of (factor, counting) that leads from `mean` to `count`.
fn far(count: f64, mean: f64, variance: f64) -> f64 {
    let mean = mean.max(1e-9);
    let (whole, spread) = (log(count / mean).abs(), variance.sqrt().max(1e-9));
    let (alone, drift) = (poisson(count, mean), whole / spread);
    // No need to be exact about what is not odd.
    if alone.min(drift) < ODD {
        return alone.min(drift);
    }
    let toward = if count > mean { 1.0 } else { -1.0 };
    let norm = |part: f64| {
        let counting = poisson(count, mean * exp(toward * part * whole));
        let factor = part * drift;
        (factor * factor + counting * counting).sqrt()
    };
    // The factor never does more than counting alone would have to.
    let (mut low, mut high) = (0.0, (alone / drift).min(1.0));
    for _ in 0..24 {
        let third = (high - low) / 3.0;
        if norm(low + third) < norm(high - third) { high -= third } else { low += third }
    }
    norm(0.5 * (low + high))
}

/// Signed-root deviance of a Poisson count, without its sign.
fn poisson(count: f64, mean: f64) -> f64 {
    (2.0 * (count * log(count / mean) - (count - mean))).max(0.0).sqrt()
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

    /// Days that a campaign's main window counts, for clicks of `hour`.
    pub fn window_days(&self, campaign: usize, hour: i64) -> f64 {
        self.main_window(self.entities.campaigns[campaign].account, hour).days
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact tails: Poisson(9) at 0, Poisson(20) at 0, Poisson(1) at 10 or more.
    #[test]
    fn counts_are_as_odd_as_their_tails() {
        let near = |z: f64, exact: f64| assert!((z - exact).abs() < 0.15, "{z} for {exact}");
        near(below(0.0, 9.0, 0.0), 3.67);
        near(below(0.0, 20.0, 0.0), 5.99);
        near(above(10.0, 1.0, 0.0), 5.18);
        // A factor with a long tail makes large numbers less odd.
        assert!(above(400.0, 100.0, 0.04) < 7.0 && above(400.0, 100.0, 0.0) > 15.0);
        assert!(below(0.0, 500.0, 0.04) > 15.0);
    }
}
