//! When a conversion is known: families of delay between click and conversion.

use libm::{erf, exp, log, pow};

use crate::keyed::Draw;
use crate::priors;

/// The form of a delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    /// Memoryless.
    Exponential,
    /// Weibull: heavier or lighter than memoryless.
    Weibull,
    /// Log-normal: a long tail.
    LogNormal,
}

/// Mean days from a conversion to its being taken back.
const RETRACTION_DAYS: f64 = 12.0;

/// A conversion action's delay from click to conversion.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// Its form.
    pub family: Family,
    /// Scale, days.
    pub scale_days: f64,
    /// Weibull shape, or standard deviation of the logarithm.
    pub shape: f64,
    /// Share within the hour of the click.
    pub at_once: f64,
    /// Share of conversions that are taken back later.
    pub retracted: f64,
}

impl Lag {
    pub(crate) fn new(draw: &mut Draw) -> Self {
        let family = *draw.pick(&[Family::Exponential, Family::Weibull, Family::LogNormal]);
        Lag {
            family,
            scale_days: priors::LAG_SCALE.draw(draw),
            shape: priors::LAG_SHAPE.draw(draw),
            at_once: priors::LAG_AT_ONCE.draw(draw),
            retracted: priors::RETRACTED.draw(draw),
        }
    }

    /// A delay in days.
    pub(crate) fn sample(&self, draw: &mut Draw) -> f64 {
        if draw.chance(self.at_once) {
            return draw.unit() / 24.0;
        }
        match self.family {
            Family::Exponential => -log(draw.unit()) * self.scale_days,
            Family::Weibull => pow(-log(draw.unit()), 1.0 / self.shape) * self.scale_days,
            Family::LogNormal => exp(self.shape * draw.normal()) * self.scale_days,
        }
    }

    /// Days from click to being taken back; infinite for most.
    pub(crate) fn retraction(&self, draw: &mut Draw, lag_days: f64) -> f64 {
        if !draw.chance(self.retracted) {
            return f64::INFINITY;
        }
        lag_days - log(draw.unit()) * RETRACTION_DAYS
    }

    /// The share of conversions that have happened `age_days` after the click: G(age).
    pub fn arrived(&self, age_days: f64) -> f64 {
        if age_days <= 0.0 {
            return 0.0;
        }
        let x = age_days / self.scale_days;
        let slow = match self.family {
            Family::Exponential => 1.0 - exp(-x),
            Family::Weibull => 1.0 - exp(-pow(x, self.shape)),
            Family::LogNormal => 0.5 * (1.0 + erf(log(x) / self.shape / std::f64::consts::SQRT_2)),
        };
        self.at_once * (age_days * 24.0).min(1.0) + (1.0 - self.at_once) * slow
    }

    /// The share that is reported at `age_days` within `window_days` of the click: what arrived,
    /// less what was taken back (as if taken back from the middle of what arrived).
    pub fn reported(&self, age_days: f64, window_days: f64) -> f64 {
        let back = 1.0 - exp(-age_days.max(0.0) / (RETRACTION_DAYS + 0.5 * self.scale_days));
        self.arrived(age_days.min(window_days)) * (1.0 - self.retracted * back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::Stream;

    #[test]
    fn samples_follow_their_curve() {
        for i in 0..20 {
            let lag = Lag::new(&mut Draw::new(5, Stream::Action, i, 0));
            let mut draw = Draw::new(6, Stream::Action, i, 0);
            let all: Vec<f64> = (0..20_000).map(|_| lag.sample(&mut draw)).collect();
            for age in [0.02, 0.5, 2.0, 10.0] {
                let share = all.iter().filter(|l| **l <= age).count() as f64 / all.len() as f64;
                assert!((share - lag.arrived(age)).abs() < 0.015, "{lag:?} at {age}: {share}");
            }
        }
    }
}
