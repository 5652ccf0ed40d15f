//! Draws keyed by (seed, stream, entity, time): any number of the world can be drawn alone.
//!
//! The algorithms live here, and `libm` computes their functions, so that the frozen bytes depend
//! on no other crate's sampler and on no platform's mathematics.

use libm::{cos, exp, floor, lgamma, log, pow};

/// What a draw is for; draws of different streams are independent.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Stream {
    World = 1,
    Brand,
    Campaign,
    AdSet,
    Action,
    Cell,
    Conversion,
    VolumeLatent,
    CtrLatent,
    CvrLatent,
    CpcLatent,
    Dispersion,
    Market,
    Platform,
    BrandLatent,
    Jump,
    Holiday,
    Rate,
    Twin,
    Incident,
    Creative,
    Comment,
    Customer,
    Goal,
    Inject,
}

/// A stream of numbers for one key. SplitMix64 (Steele, Lea, Flood 2014) over a mixed key.
pub(crate) struct Draw(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Draw {
    pub fn new(seed: u64, stream: Stream, entity: u64, at: i64) -> Self {
        let mut key = mix(seed.wrapping_add(GOLDEN));
        for part in [stream as u64, entity, at as u64] {
            key = mix(key.wrapping_add(GOLDEN) ^ mix(part.wrapping_add(GOLDEN)));
        }
        Draw(key)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in (0, 1), both ends out.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * log(self.unit())).sqrt();
        radius * cos(std::f64::consts::TAU * self.unit())
    }

    /// Gamma with mean `shape` (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let scale = pow(self.unit(), 1.0 / shape);
            return self.gamma(shape + 1.0) * scale;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
            if v > 0.0 && log(self.unit()) < 0.5 * x * x + d - d * v + d * log(v) {
                return d * v;
            }
        }
    }

    /// A factor with mean 1 and variance `dispersion`.
    pub fn dispersed(&mut self, dispersion: f64) -> f64 {
        if dispersion < 1e-9 { 1.0 } else { self.gamma(1.0 / dispersion) * dispersion }
    }

    /// Poisson: by inversion below 10, above by PTRS (Hörmann 1993).
    pub fn poisson(&mut self, mean: f64) -> i64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean < 10.0 {
            let (mut left, mut k) = (self.unit(), 0);
            let mut p = exp(-mean);
            while left > p && k < 200 {
                left -= p;
                k += 1;
                p *= mean / k as f64;
            }
            return k;
        }
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let us = 0.5 - u.abs();
            let k = floor((2.0 * a / us + b) * u + mean + 0.43);
            if us >= 0.07 && v <= squeeze {
                return k as i64;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let accept = log(v) + log(inverse_alpha) - log(a / (us * us) + b);
            if accept <= -mean + k * log(mean) - lgamma(k + 1.0) {
                return k as i64;
            }
        }
    }

    /// Binomial: by inversion where few succeed, else by BTRS (Hörmann 1993).
    pub fn binomial(&mut self, n: i64, p: f64) -> i64 {
        if n <= 0 || p <= 0.0 {
            return 0;
        }
        if p > 0.5 {
            return n - self.binomial(n, 1.0 - p);
        }
        let (trials, q) = (n as f64, 1.0 - p);
        if trials * p < 10.0 {
            let (mut left, mut k) = (self.unit(), 0);
            let mut mass = exp(trials * log(q));
            while left > mass && k < n {
                left -= mass;
                mass *= (n - k) as f64 / (k + 1) as f64 * (p / q);
                k += 1;
            }
            return k;
        }
        let spread = (trials * p * q).sqrt();
        let b = 1.15 + 2.53 * spread;
        let a = -0.0873 + 0.0248 * b + 0.01 * p;
        let squeeze = 0.92 - 4.2 / b;
        let alpha = (2.83 + 5.1 / b) * spread;
        let mode = floor((trials + 1.0) * p);
        let top = lgamma(mode + 1.0) + lgamma(trials - mode + 1.0);
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let us = 0.5 - u.abs();
            let k = floor((2.0 * a / us + b) * u + trials * p + 0.5);
            if k < 0.0 || k > trials {
                continue;
            }
            if us >= 0.07 && v <= squeeze {
                return k as i64;
            }
            let accept = log(v * alpha / (a / (us * us) + b));
            let weight = lgamma(k + 1.0) + lgamma(trials - k + 1.0);
            if accept <= top - weight + (k - mode) * log(p / q) {
                return k as i64;
            }
        }
    }
}

/// A stationary AR(1) series of variance 1 at `day`, from its own innovations: no state, any order.
/// The weights end after twelve days, which keeps the variance within 2 % up to `rho` = 0.85.
pub(crate) fn autoregressive(seed: u64, stream: Stream, entity: u64, day: i64, rho: f64) -> f64 {
    let (mut sum, mut weight) = (0.0, (1.0 - rho * rho).sqrt());
    for back in 0..12 {
        sum += weight * Draw::new(seed, stream, entity, day - back).normal();
        weight *= rho;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(draw: impl Fn(&mut Draw) -> f64) -> (f64, f64) {
        let all: Vec<f64> =
            (0..40_000).map(|i| draw(&mut Draw::new(3, Stream::Cell, i, 5))).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let square = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        (mean, square / all.len() as f64)
    }

    #[test]
    fn draws_have_the_moments_of_their_laws() {
        let near = |(mean, variance): (f64, f64), m: f64, v: f64| {
            assert!((mean - m).abs() < 5.0 * (v / 40_000.0).sqrt(), "mean {mean}, wanted {m}");
            assert!((variance / v - 1.0).abs() < 0.06, "variance {variance}, wanted {v}");
        };
        near(moments(Draw::normal), 0.0, 1.0);
        near(moments(Draw::unit), 0.5, 1.0 / 12.0);
        for shape in [0.4, 3.0] {
            near(moments(|d| d.gamma(shape)), shape, shape);
        }
        for mean in [0.3, 9.0, 11.0, 4000.0] {
            near(moments(|d| d.poisson(mean) as f64), mean, mean);
        }
        for (n, p) in [(5, 0.3), (400, 0.01), (400, 0.2), (90, 0.8), (100_000, 0.3)] {
            let (mean, q) = (n as f64 * p, 1.0 - p);
            near(moments(|d| d.binomial(n, p) as f64), mean, mean * q);
        }
        near(moments(|d| d.dispersed(0.3)), 1.0, 0.3);
    }

    #[test]
    fn days_remember_the_day_before() {
        let at = |day| autoregressive(1, Stream::Market, 0, day, 0.7);
        let pairs: Vec<(f64, f64)> = (0..20_000).map(|d| (at(d), at(d + 1))).collect();
        let rho = pairs.iter().map(|(a, b)| a * b).sum::<f64>() / pairs.len() as f64;
        assert!((rho - 0.7).abs() < 0.05, "{rho}");
    }
}
