//! Rows as files, and which files a delivery has.

mod columns;
mod entities;
mod events;
mod facts;
mod people;
mod truth;

use std::collections::BTreeMap;

use arrow::error::ArrowError;

use crate::{Delivery, PLATFORMS, World};
use columns::Columns;

/// A file that cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("a file of the world cannot be encoded")]
pub struct FileError(#[from] ArrowError);

type File = (String, Vec<u8>);

/// Ads whose banners are one part.
const ADS_PER_PART: usize = 500;
/// Days of history that are one part.
const DAYS_PER_PART: i64 = 7;

impl World {
    fn banner_parts(&self, n: u32) -> u32 {
        let ads = if n == 0 && self.settings.banners { self.entities.ads.len() } else { 0 };
        ads.div_ceil(ADS_PER_PART) as u32
    }

    fn chunks(&self, n: u32) -> u32 {
        let days = if n == 0 { self.history_days() } else { 0 };
        (days as u64).div_ceil(DAYS_PER_PART as u64).max(1) as u32
    }

    /// In how many parts delivery `n` is made. They can be made in any order, or at once.
    pub fn parts(&self, n: u32) -> u32 {
        1 + self.banner_parts(n) + PLATFORMS.len() as u32 * self.chunks(n)
    }

    /// A part of delivery `n`.
    ///
    /// # Errors
    /// A file that cannot be encoded.
    pub fn part(&self, n: u32, part: u32) -> Result<Delivery, FileError> {
        let at_us = self.at_us(self.delivered_hour(n));
        let banners = self.banner_parts(n);
        let files = match part {
            0 => self.slow_tables(n)?,
            p if p <= banners => self.banners((p as usize - 1) * ADS_PER_PART, ADS_PER_PART),
            p => {
                let p = p - 1 - banners;
                let (platform, chunk) = ((p % 4) as usize, i64::from(p / 4));
                self.facts(platform, n, chunk)?
            }
        };
        Ok(Delivery { at_us, files })
    }

    /// Everything but what the platforms report.
    fn slow_tables(&self, n: u32) -> Result<Vec<File>, FileError> {
        let mut files = self.entity_files(n)?;
        files.extend(self.event_files(n)?);
        if n == 0 {
            files.extend(self.truth_files()?);
        }
        Ok(files)
    }

    /// Hours after the delivery before `n`, up to delivery `n`.
    fn since(&self, n: u32) -> std::ops::RangeInclusive<i64> {
        let after = if n == 0 { i64::MIN } else { self.delivered_hour(n - 1) + 1 };
        after..=self.delivered_hour(n)
    }

    /// One platform's rows; of the history, some days of them.
    fn facts(&self, platform: usize, n: u32, chunk: i64) -> Result<Vec<File>, FileError> {
        let seen = self.delivered_hour(n);
        let mut hours = self.reported(platform, n);
        if n == 0 {
            let last = chunk + 1 == i64::from(self.chunks(0));
            let end = if last { i64::MAX } else { (chunk + 1) * DAYS_PER_PART * 24 };
            hours.retain(|h, _| (chunk * DAYS_PER_PART * 24..end).contains(h));
        }
        let mut days: BTreeMap<i64, BTreeMap<i64, Option<i64>>> = BTreeMap::new();
        for (hour, before) in &hours {
            days.entry(hour.div_euclid(24)).or_default().insert(*hour, *before);
        }
        let mut files = vec![];
        let (mut orders, mut leads, mut comments) = (vec![], vec![], vec![]);
        for (day, hours) in days {
            let report = self.report(platform, &hours, seen);
            let name = format!("{day:05}-{seen:06}");
            files.extend(self.fact_files(platform, &name, &report, seen)?);
            orders.extend(report.orders);
            leads.extend(report.leads);
            comments.extend(report.comments);
        }
        let fresh = hours.iter().filter(|(_, before)| before.is_none()).map(|(h, _)| *h);
        let name = format!("{}-{chunk:04}-{seen:06}", PLATFORMS[platform]);
        files.extend(self.hours_file(platform, &name, fresh)?);
        let first = n == 0 && chunk == 0;
        files.extend(self.people_files(&name, &(orders, leads, comments), seen, first)?);
        Ok(files)
    }
}
