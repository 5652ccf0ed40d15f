//! A deterministic marketing world, written as a lake.
//!
//! Accounts, campaigns, ad sets and ads on four platforms; what they show, cost and sell, hour by
//! hour, and what each platform says of it when; what somebody changed, planned or broke. Every
//! number is drawn from a generator keyed by (seed, stream, entity, hour), so the same seed gives
//! the same bytes, any delivery can be made alone, and nothing of the world is held in memory but
//! its entities. Parameters come from the broad laws in [`priors`], so that nothing can be fitted
//! to one world.
//!
//! Read [`Settings`], then [`World`], then [`truth`]; `README.md` beside this crate has pictures.

mod conversions;
mod creative;
mod entities;
pub mod inject;
mod keyed;
pub mod lag;
mod people;
mod places;
pub mod priors;
pub mod rates;
mod report;
mod schedule;
mod tables;
pub mod truth;
mod weather;

use std::path::Path;

use chrono::{DateTime, Datelike, NaiveDate};

pub use report::{ActionHour, AdHour, Cell, Report};
pub use tables::FileError;

use entities::{Climate, Entities};
use places::{Clock, Holiday, PLACES};
use truth::{Incident, Twin};

/// Microseconds per hour.
pub const HOUR_US: i64 = 3_600_000_000;
/// 2026-01-05 00:00 UTC, a Monday: where worlds begin, unless [`Settings::begin_week`] moves them.
pub const BEGIN_US: i64 = 1_767_571_200_000_000;

/// Days at the end of a world that arrive one by one, unless set otherwise.
pub const LIVE_DAYS: u32 = 7;
/// The platforms; a platform's index is its place here.
pub const PLATFORMS: [&str; 4] = ["google", "meta", "tiktok", "x"];

/// How much a world drifts and scatters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Noise {
    /// Half the drift and scatter.
    Low,
    /// As the priors say.
    #[default]
    Middle,
    /// Five thirds of it.
    High,
}

impl Noise {
    fn factor(self) -> f64 {
        match self {
            Noise::Low => 0.5,
            Noise::Middle => 1.0,
            Noise::High => 5.0 / 3.0,
        }
    }
}

/// Does anything break?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorldKind {
    /// Incidents, and benign twins around them.
    #[default]
    Incidents,
    /// Benign twins only: every alert is false.
    Null,
}

/// What a world is for. Brands, words and layouts of the two share nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To train encoders and tune detectors.
    #[default]
    Training,
    /// To judge them.
    Evaluation,
}

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Campaigns.
    pub campaigns: u32,
    /// Days of history, the live ones included.
    pub days: u32,
    /// How much everything scatters.
    pub noise: Noise,
    /// Whether anything breaks.
    pub kind: WorldKind,
    /// For training or for evaluation.
    pub purpose: Purpose,
    /// Days at the end that arrive delivery by delivery.
    pub live_days: u32,
    /// Deliveries on each of them; 24 is divided by it.
    pub deliveries_per_day: u32,
    /// Weeks after [`BEGIN_US`] at which the world begins.
    pub begin_week: u32,
    /// Whether banners are rendered.
    pub banners: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 7,
            campaigns: 20,
            days: 60,
            noise: Noise::default(),
            kind: WorldKind::default(),
            purpose: Purpose::default(),
            live_days: LIVE_DAYS,
            deliveries_per_day: 1,
            begin_week: 0,
            banners: true,
        }
    }
}

impl Settings {
    /// When the world begins, microseconds since 1970 UTC.
    pub fn begin_us(&self) -> i64 {
        BEGIN_US + i64::from(self.begin_week) * 7 * 24 * HOUR_US
    }

    pub(crate) fn begin(&self) -> NaiveDate {
        let at = DateTime::from_timestamp_micros(self.begin_us());
        at.expect("worlds begin within chrono's range").date_naive()
    }
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
    json: bool,
    climate: Climate,
    pub(crate) entities: Entities,
    /// One per place.
    clocks: Vec<Clock>,
    calendar: Vec<Holiday>,
    weather: weather::Weather,
    first_day_of_year: i64,
    /// By campaign.
    effects: Vec<Vec<rates::Effect>>,
    /// By campaign: hours at which learning starts anew.
    resets: Vec<Vec<i64>>,
    outages: Vec<conversions::Outage>,
    faults: Vec<report::Fault>,
    lates: Vec<schedule::Late>,
    window_changes: Vec<report::WindowChange>,
    /// Creatives after each ad's first.
    versions: Vec<creative::Version>,
    edits: Vec<truth::twins::Edit>,
    plans: Vec<truth::twins::Plan>,
    incidents: Vec<Incident>,
    twins: Vec<Twin>,
}

impl World {
    /// The world of `settings`; facts as JSON lines if `json`.
    pub fn new(settings: Settings, json: bool) -> Self {
        let climate = entities::climate(&settings);
        let entities = Entities::new(&settings, &climate);
        let hours = i64::from(settings.days) * 24;
        let begin = settings.begin();
        let calendar = places::calendar(begin, i64::from(settings.days));
        let clock = |p: &places::Place| Clock::new(p.zone, settings.begin_us(), hours);
        let weather = weather::Weather::new(&settings, &climate, &entities, &calendar);
        let campaigns = entities.campaigns.len();
        let mut world = World {
            settings,
            json,
            climate,
            entities,
            clocks: PLACES.iter().map(clock).collect(),
            calendar,
            weather,
            first_day_of_year: i64::from(begin.ordinal0()),
            effects: vec![vec![]; campaigns],
            resets: vec![vec![]; campaigns],
            outages: vec![],
            faults: vec![],
            lates: vec![],
            window_changes: vec![],
            versions: vec![],
            edits: vec![],
            plans: vec![],
            incidents: vec![],
            twins: vec![],
        };
        truth::incidents::place(&mut world);
        if campaigns > 0 {
            truth::twins::place(&mut world);
        }
        truth::power::assess(&mut world);
        world
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is wrong in it.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// What only looks wrong in it.
    pub fn twins(&self) -> &[Twin] {
        &self.twins
    }

    /// Delivery `n`, from 0, whole. Large worlds are written part by part: [`World::part`].
    ///
    /// # Errors
    /// A file that cannot be encoded.
    pub fn delivery(&self, n: u32) -> Result<Delivery, FileError> {
        let mut files = vec![];
        for part in 0..self.parts(n) {
            files.extend(self.part(n, part)?.files);
        }
        Ok(Delivery { at_us: self.at_us(self.delivered_hour(n)), files })
    }

    /// An hour of the world, microseconds since 1970 UTC.
    pub fn at_us(&self, hour: i64) -> i64 {
        self.settings.begin_us() + hour * HOUR_US
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
