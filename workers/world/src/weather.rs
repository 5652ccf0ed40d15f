//! What moves everybody: drift and shocks of the market, the platforms and the brands; holidays.

use crate::entities::{Climate, Entities};
use crate::keyed::{Draw, Stream, autoregressive};
use crate::places::{Holiday, PLACES};
use crate::{PLATFORMS, Settings, priors};

/// Days kept before the first and after the last.
const MARGIN: i64 = 2;
const SHARED_RHO: f64 = 0.7;

/// Logarithms of factors on volume, by day.
pub(crate) struct Weather {
    days: usize,
    market: Vec<f64>,
    platforms: Vec<Vec<f64>>,
    brands: Vec<Vec<f64>>,
    /// By place and local day: logarithms of a holiday's factors on volume and CVR.
    holidays: Vec<Vec<(f64, f64)>>,
    /// Shocks of the market, then of each platform.
    shocks: Vec<Vec<f64>>,
}

/// Sum of the shocks that are felt on `day`; each lasts one to three days.
fn shock(seed: u64, climate: &Climate, entity: u64, day: i64) -> f64 {
    let felt = |back: i64| {
        let mut draw = Draw::new(seed, Stream::Jump, entity, day - back);
        let begins = draw.chance(climate.shock_rate);
        let lasts = 1 + draw.below(3) as i64;
        if begins && lasts > back { climate.shock_size * draw.normal() } else { 0.0 }
    };
    (0..3).map(felt).sum()
}

impl Weather {
    pub fn new(
        settings: &Settings,
        climate: &Climate,
        entities: &Entities,
        calendar: &[Holiday],
    ) -> Self {
        let days = settings.days as i64;
        let seed = settings.seed;
        let drift = |stream, entity, sd: f64| -> Vec<f64> {
            let at = |d| sd * autoregressive(seed, stream, entity, d, SHARED_RHO) - sd * sd / 2.0;
            (-MARGIN..days + MARGIN).map(at).collect()
        };
        let felt = |entity| -> Vec<f64> {
            (-MARGIN..days + MARGIN).map(|d| shock(seed, climate, entity, d)).collect()
        };
        let shocks: Vec<Vec<f64>> = (0..=PLATFORMS.len() as u64).map(felt).collect();
        let shocked = |series: Vec<f64>, entity: u64| -> Vec<f64> {
            series.iter().zip(&shocks[entity as usize]).map(|(x, s)| x + s).collect()
        };
        let platform = |p| shocked(drift(Stream::Platform, p, climate.platform_drift), p + 1);
        let brand = |b| drift(Stream::BrandLatent, b as u64, climate.brand_drift);
        Weather {
            days: (days + 2 * MARGIN) as usize,
            market: shocked(drift(Stream::Market, 0, climate.market_drift), 0),
            platforms: (0..PLATFORMS.len() as u64).map(platform).collect(),
            brands: (0..entities.brands.len()).map(brand).collect(),
            holidays: PLACES.iter().map(|p| holidays(settings, p.country, calendar)).collect(),
            shocks,
        }
    }

    /// Logarithm of what `platform`, `brand` and everyone share on `day`.
    pub fn shared(&self, platform: usize, brand: usize, day: i64) -> f64 {
        let i = ((day + MARGIN).max(0) as usize).min(self.days - 1);
        self.market[i] + self.platforms[platform][i] + self.brands[brand][i]
    }

    /// Logarithm of the shocks that `platform` feels on `day`.
    pub fn shocked(&self, platform: usize, day: i64) -> f64 {
        let i = ((day + MARGIN).max(0) as usize).min(self.days - 1);
        self.shocks[0][i] + self.shocks[platform + 1][i]
    }

    /// Logarithms of the factors on volume and CVR of a local day.
    pub fn holiday(&self, place: usize, local_day: i64) -> (f64, f64) {
        let i = ((local_day + MARGIN).max(0) as usize).min(self.days - 1);
        self.holidays[place][i]
    }
}

fn holidays(settings: &Settings, country: &str, calendar: &[Holiday]) -> Vec<(f64, f64)> {
    let mut factors = vec![(0.0, 0.0); (i64::from(settings.days) + 2 * MARGIN) as usize];
    for holiday in calendar.iter().filter(|h| h.country == country) {
        // The same holiday has the same effect every year.
        let name = holiday.name.bytes().fold(7u64, |n, b| n.wrapping_mul(31) + u64::from(b));
        let country = country.bytes().fold(3i64, |n, b| n * 31 + i64::from(b));
        let mut draw = Draw::new(settings.seed, Stream::Holiday, name, country);
        let volume = priors::HOLIDAY_VOLUME.draw(&mut draw);
        let cvr = priors::HOLIDAY_CVR.draw(&mut draw);
        let day = (holiday.date - settings.begin()).num_days() + MARGIN;
        if let Some(f) = factors.get_mut(day as usize) {
            *f = (f.0 + volume, f.1 + cvr);
        }
    }
    factors
}
