//! What the platforms report: by campaign, by ad, by conversion type and window.

use super::{Columns, File, FileError};
use crate::entities::{Account, Ad, Campaign};
use crate::{PLATFORMS, Report, World};

impl World {
    fn campaign(&self, ad: usize) -> &Campaign {
        &self.entities.campaigns[self.entities.ads[ad].campaign]
    }

    fn account(&self, ad: usize) -> &Account {
        &self.entities.accounts[self.campaign(ad).account]
    }

    /// A platform's day. The platform is in the path.
    pub(super) fn fact_files(
        &self,
        platform: usize,
        name: &str,
        report: &Report,
        seen: i64,
    ) -> Result<Vec<File>, FileError> {
        let path = |table: &str| format!("{table}/platform={}/{name}", PLATFORMS[platform]);
        let mut files = vec![];
        if !report.cells.is_empty() {
            files.push(self.cells(report, seen)?.file(&path("ad_metrics"), self.json)?);
        }
        if !report.ad_hours.is_empty() {
            files.push(self.ad_hours(report, seen)?.file(&path("ad_hours"), self.json)?);
        }
        if !report.actions.is_empty() {
            files.push(self.conversions(report, seen)?.file(&path("conversions"), self.json)?);
        }
        Ok(files)
    }

    fn cells(&self, report: &Report, seen: i64) -> Result<Columns, FileError> {
        let rows = &report.cells;
        let campaign = |c: usize| &self.entities.campaigns[c];
        let account = |c: usize| &self.entities.accounts[campaign(c).account];
        Ok(Columns::default()
            .text("account_id", rows.iter().map(|r| &account(r.campaign).id))
            .text("campaign_id", rows.iter().map(|r| &campaign(r.campaign).id))
            .time("metric_hour", rows.iter().map(|r| self.at_us(r.hour)))
            .text(
                "attribution_window",
                rows.iter().map(|r| self.main_window(campaign(r.campaign).account, r.hour).name),
            )
            .text("account_tz", rows.iter().map(|r| account(r.campaign).tz))
            .text("currency", rows.iter().map(|r| account(r.campaign).currency))
            .whole("impressions", rows.iter().map(|r| r.impressions))
            .whole("clicks", rows.iter().map(|r| r.clicks))
            .whole("cost_micros", rows.iter().map(|r| r.cost_micros))
            .decimal("conversions", rows.iter().map(|r| r.conversions_micros))?
            .whole("conversions_value_micros", rows.iter().map(|r| r.value_micros))
            .time("as_of", rows.iter().map(|_| self.at_us(seen))))
    }

    fn ad_hours(&self, report: &Report, seen: i64) -> Result<Columns, FileError> {
        let rows = &report.ad_hours;
        let ad = |k: usize| -> &Ad { &self.entities.ads[k] };
        Ok(Columns::default()
            .text("account_id", rows.iter().map(|r| &self.account(r.ad).id))
            .text("campaign_id", rows.iter().map(|r| &self.campaign(r.ad).id))
            .text("adset_id", rows.iter().map(|r| &self.entities.ad_sets[ad(r.ad).ad_set].id))
            .text("ad_id", rows.iter().map(|r| &ad(r.ad).id))
            .time("metric_hour", rows.iter().map(|r| self.at_us(r.hour)))
            .text("account_tz", rows.iter().map(|r| self.account(r.ad).tz))
            .text("currency", rows.iter().map(|r| self.account(r.ad).currency))
            .whole("impressions", rows.iter().map(|r| r.impressions))
            .whole("clicks", rows.iter().map(|r| r.clicks))
            .whole("invalid_clicks", rows.iter().map(|r| r.invalid_clicks))
            .whole("cost_micros", rows.iter().map(|r| r.cost_micros))
            .time("as_of", rows.iter().map(|_| self.at_us(seen))))
    }

    fn conversions(&self, report: &Report, seen: i64) -> Result<Columns, FileError> {
        let rows = &report.actions;
        let ad = |k: usize| -> &Ad { &self.entities.ads[k] };
        Ok(Columns::default()
            .text("account_id", rows.iter().map(|r| &self.account(r.ad).id))
            .text("campaign_id", rows.iter().map(|r| &self.campaign(r.ad).id))
            .text("adset_id", rows.iter().map(|r| &self.entities.ad_sets[ad(r.ad).ad_set].id))
            .text("ad_id", rows.iter().map(|r| &ad(r.ad).id))
            .time("metric_hour", rows.iter().map(|r| self.at_us(r.hour)))
            .text("action_type", rows.iter().map(|r| r.action_type))
            .text("attribution_window", rows.iter().map(|r| r.window))
            .text("currency", rows.iter().map(|r| self.account(r.ad).currency))
            .decimal("conversions", rows.iter().map(|r| r.conversions_micros))?
            .whole("conversions_value_micros", rows.iter().map(|r| r.value_micros))
            .time("as_of", rows.iter().map(|_| self.at_us(seen))))
    }

    /// The hours that a platform delivered for the first time.
    pub(super) fn hours_file(
        &self,
        platform: usize,
        name: &str,
        fresh: impl Iterator<Item = i64>,
    ) -> Result<Option<File>, FileError> {
        let hours: Vec<i64> = fresh.map(|h| self.at_us(h)).collect();
        if hours.is_empty() {
            return Ok(None);
        }
        let columns = Columns::default()
            .text("platform", hours.iter().map(|_| PLATFORMS[platform]))
            .time("metric_hour", hours.iter().copied());
        Ok(Some(columns.file(&format!("hours/{name}"), false)?))
    }
}
