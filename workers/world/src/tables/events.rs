//! Known events: edits, plans, the calendar, exchange rates, goals.

use super::{Columns, File, FileError};
use crate::keyed::{Draw, Stream};
use crate::places::PLACES;
use crate::truth::Scope;
use crate::truth::twins::{Edit, Plan};
use crate::{PLATFORMS, World};

/// Days from 1970 to a world hour's UTC day.
pub(super) fn day_of(world: &World, hour: i64) -> i64 {
    world.at_us(hour).div_euclid(24 * crate::HOUR_US)
}

impl World {
    /// Events that became known since the delivery before.
    pub(super) fn event_files(&self, n: u32) -> Result<Vec<File>, FileError> {
        let (at, since) = (self.delivered_hour(n), self.since(n));
        let name = format!("{at:06}");
        let mut files = vec![];
        let edits: Vec<&Edit> = self.edits.iter().filter(|e| since.contains(&e.hour)).collect();
        if n == 0 || !edits.is_empty() {
            files.push(self.edit_columns(&edits).file(&format!("change_events/{name}"), false)?);
        }
        let plans: Vec<&Plan> =
            self.plans.iter().filter(|p| since.contains(&p.announced)).collect();
        if n == 0 || !plans.is_empty() {
            files.push(self.plan_columns(&plans).file(&format!("planned_events/{name}"), false)?);
        }
        if let Some(rates) = self.fx_columns(n)? {
            files.push(rates.file(&format!("fx_rates/{name}"), false)?);
        }
        if n == 0 {
            files.push(self.calendar_columns().file("calendar/calendar", false)?);
            files.push(self.goal_columns()?.file("goals/goals", false)?);
        }
        Ok(files)
    }

    fn edit_columns(&self, rows: &[&Edit]) -> Columns {
        let e = &self.entities;
        let campaign = |s: Scope| match s {
            Scope::Campaign(c) => Some(c),
            Scope::AdSet(s) => Some(e.ad_sets[s].campaign),
            Scope::Ad(k) => Some(e.ads[k].campaign),
            _ => None,
        };
        let account = |s: Scope| match (s, campaign(s)) {
            (Scope::Account(a), _) => &e.accounts[a],
            (_, Some(c)) => &e.accounts[e.campaigns[c].account],
            _ => &e.accounts[0],
        };
        let resource = |s: Scope| match s {
            Scope::Account(_) => "account",
            Scope::AdSet(_) => "ad_set",
            Scope::Ad(_) => "ad",
            _ => "campaign",
        };
        let id = |x: &&Edit| format!("{}-{}-{}", self.name(x.scope), x.field, x.hour);
        Columns::default()
            .text("change_id", rows.iter().map(id))
            .text("platform", rows.iter().map(|x| PLATFORMS[account(x.scope).platform]))
            .text("account_id", rows.iter().map(|x| &account(x.scope).id))
            .texts(
                "campaign_id",
                rows.iter().map(|x| campaign(x.scope).map(|c| &e.campaigns[c].id)),
            )
            .text("resource", rows.iter().map(|x| resource(x.scope)))
            .text("resource_id", rows.iter().map(|x| self.name(x.scope)))
            .text("field", rows.iter().map(|x| x.field))
            .text("old_value", rows.iter().map(|x| &x.old))
            .text("new_value", rows.iter().map(|x| &x.new))
            .time("changed_at", rows.iter().map(|x| self.at_us(x.hour)))
    }

    fn plan_columns(&self, rows: &[&Plan]) -> Columns {
        let id = |p: &&Plan| format!("p{}-{}-{}", p.brand, p.kind, p.from);
        Columns::default()
            .text("event_id", rows.iter().map(id))
            .text("brand", rows.iter().map(|p| &self.entities.brands[p.brand].name))
            .text("kind", rows.iter().map(|p| p.kind))
            .text("name", rows.iter().map(|p| &p.name))
            .time("begins_at", rows.iter().map(|p| self.at_us(p.from)))
            .time("ends_at", rows.iter().map(|p| self.at_us(p.until)))
            .time("as_of", rows.iter().map(|p| self.at_us(p.announced)))
    }

    fn calendar_columns(&self) -> Columns {
        let epoch = chrono::NaiveDate::default();
        let rows = &self.calendar;
        Columns::default()
            .text("country", rows.iter().map(|h| h.country))
            .day("day", rows.iter().map(|h| (h.date - epoch).num_days()))
            .text("name", rows.iter().map(|h| h.name))
            .text("kind", rows.iter().map(|h| h.kind))
    }

    /// Units of each currency per US dollar: each day's provisional rate on its evening, and the
    /// final one the day after.
    fn fx_columns(&self, n: u32) -> Result<Option<Columns>, FileError> {
        let since = self.since(n);
        let mut rows: Vec<(i64, &'static str, f64, i64)> = vec![];
        let mut seen: Vec<&str> = vec![];
        for place in PLACES.iter().filter(|p| p.currency != "USD") {
            if seen.contains(&place.currency) {
                continue;
            }
            seen.push(place.currency);
            let currency = place.currency.bytes().fold(0u64, |n, b| n * 256 + u64::from(b));
            let mut rate = place.per_usd;
            for day in 0..=self.delivered_hour(n).div_euclid(24) {
                let mut draw = Draw::new(self.settings.seed, Stream::Rate, currency, day);
                rate *= libm::exp(self.climate.fx_drift * draw.normal());
                let provisional = rate * libm::exp(0.0005 * draw.normal());
                for (value, at) in [(provisional, day * 24 + 20), (rate, day * 24 + 32)] {
                    if since.contains(&at) {
                        rows.push((day, place.currency, value, at));
                    }
                }
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        rows.sort_by_key(|r| (r.0, r.1, r.3));
        let columns = Columns::default()
            .text("currency", rows.iter().map(|r| r.1))
            .day("day", rows.iter().map(|r| day_of(self, r.0 * 24)))
            .decimal("per_usd", rows.iter().map(|r| (r.2 * 1e6).round() as i64))?
            .time("as_of", rows.iter().map(|r| self.at_us(r.3)));
        Ok(Some(columns))
    }

    fn goal_columns(&self) -> Result<Columns, FileError> {
        let rows = self.goals();
        let campaign = |c: usize| &self.entities.campaigns[c];
        let currency = |c: usize| self.entities.accounts[campaign(c).account].currency;
        Ok(Columns::default()
            .text("goal_id", rows.iter().map(|g| format!("g{:05}", g.id)))
            .text("level", rows.iter().map(|_| "campaign"))
            .text("entity_id", rows.iter().map(|g| &campaign(g.campaign).id))
            .text("metric", rows.iter().map(|g| g.metric))
            .decimal("target", rows.iter().map(|g| (g.target * 1e6).round() as i64))?
            .text("direction", rows.iter().map(|g| g.direction))
            .day("period_begin", rows.iter().map(|g| day_of(self, g.first_day * 24)))
            .day("period_end", rows.iter().map(|g| day_of(self, g.end_day * 24)))
            .text("currency", rows.iter().map(|g| currency(g.campaign)))
            .time("as_of", rows.iter().map(|g| self.at_us(g.first_day * 24))))
    }
}
