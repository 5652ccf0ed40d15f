//! A deterministic marketing world, written as a lake.
//!
//! Campaigns on four platforms with power-law volumes, daily and weekly seasonality and noise.
//! Conversions arrive late: what a platform reports of an hour grows with its age by a lag curve
//! of the campaign's own, and sometimes falls again. Every number is drawn from a generator keyed
//! by (seed, campaign, hour), so the same seed gives the same bytes in any order of drawing.

mod tables;

use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Poisson};

pub use tables::FileError;

/// Microseconds per hour.
pub const HOUR_US: i64 = 3_600_000_000;
/// 2026-01-05 00:00 UTC, a Monday: where worlds begin.
pub const BEGIN_US: i64 = 1_767_571_200_000_000;

/// Days at the end of a world that arrive one by one.
pub const LIVE_DAYS: u32 = 7;
/// Ages in days at which a platform restates a day.
const RESTATED_AGES: [u32; 7] = [1, 2, 3, 5, 7, 14, 28];
const PLATFORMS: [&str; 4] = ["google", "meta", "tiktok", "x"];
const CURRENCIES: [(&str, &str); 3] =
    [("EUR", "Europe/Berlin"), ("USD", "America/New_York"), ("GBP", "Europe/London")];

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Campaigns.
    pub campaigns: u32,
    /// Days of history.
    pub days: u32,
}

/// A campaign and the parameters its numbers are drawn with.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub id: String,
    pub platform: &'static str,
    pub account: String,
    pub currency: &'static str,
    pub tz: &'static str,
    pub launch_hour: i64,
    /// Impressions in a mean hour.
    volume: f64,
    ctr: f64,
    cvr: f64,
    /// Currency per click.
    cpc: f64,
    /// Currency per conversion.
    value: f64,
    /// Mean conversion lag, days.
    lag_days: f64,
    pub daily_budget_micros: i64,
}

/// What a platform says of a campaign's hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub campaign: usize,
    pub hour: i64,
    pub impressions: i64,
    pub clicks: i64,
    pub cost_micros: i64,
    /// In 10^-6.
    pub conversions: i128,
    pub value_micros: i64,
}

/// Files that arrive together.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Path within the lake, content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A generated world.
pub struct World {
    settings: Settings,
    campaigns: Vec<Campaign>,
    json: bool,
}

impl World {
    /// The world of `settings`; facts as JSON lines if `json`.
    pub fn new(settings: Settings, json: bool) -> Self {
        let campaigns = (0..settings.campaigns).map(|i| campaign(settings, i)).collect();
        World { settings, campaigns, json }
    }

    /// How many deliveries there are: the history, then one per live day.
    pub fn deliveries(&self) -> u32 {
        1 + LIVE_DAYS.min(self.settings.days)
    }

    /// Delivery `n`, from 0.
    ///
    /// # Errors
    /// A file that cannot be encoded.
    pub fn delivery(&self, n: u32) -> Result<Delivery, FileError> {
        let history = self.settings.days.saturating_sub(LIVE_DAYS);
        // Delivered in the morning after.
        let last = history + n;
        let at_us = BEGIN_US + i64::from(last) * 24 * HOUR_US + 6 * HOUR_US;
        let new: Vec<u32> = if n == 0 { (0..history).collect() } else { vec![last - 1] };
        let mut files = vec![];
        if n == 0 {
            files.extend(tables::entities(&self.campaigns, at_us)?);
        }
        for platform in PLATFORMS {
            for day in &new {
                let cells = self.day(platform, *day, last);
                let path = format!("ad_metrics/platform={platform}/{day:05}-{last:05}");
                files.push(tables::facts(&path, &cells, &self.campaigns, at_us, self.json)?);
            }
            files.push(tables::hours(platform, &new, last)?);
            let restated = RESTATED_AGES.iter().filter_map(|age| (last - 1).checked_sub(*age));
            for day in restated.filter(|_| n > 0) {
                let (now, before) =
                    (self.day(platform, day, last), self.day(platform, day, last - 1));
                let moved: Vec<Cell> = now.into_iter().filter(|c| !before.contains(c)).collect();
                if !moved.is_empty() {
                    let path = format!("ad_metrics/platform={platform}/{day:05}-{last:05}");
                    files.push(tables::facts(&path, &moved, &self.campaigns, at_us, self.json)?);
                }
            }
        }
        Ok(Delivery { at_us, files })
    }

    /// What `platform` says of `day` on the morning of day `seen`. Hours of zeros are left out.
    fn day(&self, platform: &str, day: u32, seen: u32) -> Vec<Cell> {
        let mut cells = vec![];
        for (i, campaign) in self.campaigns.iter().enumerate() {
            for hour in i64::from(day) * 24..(i64::from(day) + 1) * 24 {
                if campaign.platform == platform && hour >= campaign.launch_hour {
                    cells.extend(self.cell(i, hour, seen));
                }
            }
        }
        cells
    }

    fn cell(&self, i: usize, hour: i64, seen: u32) -> Option<Cell> {
        let c = &self.campaigns[i];
        let mut rng = keyed(self.settings.seed, i as u64 + 1, hour as u64);
        let (of_day, of_week) = ((hour % 24) as f64, (hour / 24) % 7);
        let daily = 1.0 + 0.6 * ((of_day - 15.0) / 24.0 * std::f64::consts::TAU).cos();
        let weekly = if of_week >= 5 { 0.75 } else { 1.1 };
        let noise = LogNormal::new(0.0, 0.25).map_or(1.0, |d| d.sample(&mut rng));
        let impressions = poisson(&mut rng, c.volume * daily * weekly * noise);
        if impressions == 0 {
            return None;
        }
        let clicks = poisson(&mut rng, impressions as f64 * c.ctr).min(impressions);
        let cost = clicks as f64 * c.cpc * rng.random_range(0.8..1.2);
        let credit: f64 = rng.random_range(0.5..1.0);
        let last = poisson(&mut rng, clicks as f64 * c.cvr) as f64 * credit;
        let fraud = rng.random_bool(0.02);
        let age_days = (f64::from(seen) - hour as f64 / 24.0).max(0.0);
        let mut arrived = 1.0 - (-age_days / c.lag_days).exp();
        if fraud && age_days > 7.0 {
            arrived *= 0.8;
        }
        let conversions = (last * arrived * 100.0).round() / 100.0;
        Some(Cell {
            campaign: i,
            hour,
            impressions,
            clicks,
            cost_micros: (cost * 1e6).round() as i64,
            conversions: (conversions * 1e6).round() as i128,
            value_micros: (conversions * c.value * 1e6).round() as i64,
        })
    }
}

fn keyed(seed: u64, entity: u64, hour: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, value) in key.chunks_mut(8).zip([seed, entity, hour, 0x7469_6465]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

fn poisson(rng: &mut ChaCha8Rng, mean: f64) -> i64 {
    if mean <= 0.0 { 0 } else { Poisson::new(mean).map_or(0, |d| d.sample(rng) as i64) }
}

fn campaign(settings: Settings, i: u32) -> Campaign {
    let mut rng = keyed(settings.seed, u64::from(i) + 1, u64::MAX);
    let platform = PLATFORMS[i as usize % PLATFORMS.len()];
    let account = i % 5;
    let (currency, tz) = CURRENCIES[account as usize % CURRENCIES.len()];
    // Pareto with exponent 1.2: few campaigns have most of the volume.
    let volume = (40.0 * rng.random::<f64>().max(1e-4).powf(-1.0 / 1.2)).min(20_000.0);
    let (ctr, cvr) = (rng.random_range(0.008..0.04), rng.random_range(0.01..0.08));
    let cpc = rng.random_range(0.3..2.5);
    Campaign {
        id: format!("c{i:05}"),
        platform,
        account: format!("a{account:03}"),
        currency,
        tz,
        launch_hour: 24 * i64::from(rng.random_range(0..(settings.days / 3).max(1))),
        volume,
        ctr,
        cvr,
        cpc,
        value: cpc / cvr * rng.random_range(0.6..4.0),
        lag_days: rng.random_range(0.5..8.0),
        daily_budget_micros: ((volume * 24.0 * ctr * cpc * 1.3).round() as i64).max(1) * 1_000_000,
    }
}

/// Write a delivery under `root`. Each file appears whole, under its name.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn write(delivery: &Delivery, root: &Path) -> std::io::Result<()> {
    for (path, bytes) in &delivery.files {
        let target = root.join(path);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let unfinished = target.with_file_name(format!("_{name}"));
        std::fs::write(&unfinished, bytes)?;
        std::fs::rename(&unfinished, &target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Settings = Settings { seed: 7, campaigns: 5, days: 20 };

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (a, b) = (World::new(SMALL, false), World::new(SMALL, false));
        for n in 0..a.deliveries() {
            let (a, b) = (a.delivery(n).expect("encodes"), b.delivery(n).expect("encodes"));
            assert_eq!(a.files, b.files);
        }
        let other = World::new(Settings { seed: 8, ..SMALL }, false).delivery(0).expect("encodes");
        assert_ne!(other.files, a.delivery(0).expect("encodes").files);
    }

    #[test]
    fn conversions_ripen_and_costs_stay() {
        let world = World::new(Settings { seed: 1, campaigns: 8, days: 40 }, false);
        let total = |seen: u32| -> (i128, i64) {
            let cells = PLATFORMS.iter().flat_map(|p| world.day(p, 15, seen));
            cells.fold((0, 0), |(n, c), cell| (n + cell.conversions, c + cell.cost_micros))
        };
        let (young, old) = (total(16), total(35));
        assert!(young.0 < old.0, "{young:?} {old:?}");
        assert_eq!(young.1, old.1);
    }
}
