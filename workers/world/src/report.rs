//! What a platform says at a time: draws around the rates, as far as they have arrived.

use std::collections::BTreeMap;

use libm::exp;

use crate::World;
use crate::conversions::{Conversion, Window, action_types, windows};
use crate::keyed::{Draw, Stream};
use crate::people::{Comment, Lead, Order};
use crate::rates::{Rate, TRUE};

/// Hours after which a platform takes invalid clicks and their cost out.
const INVALID_AFTER_HOURS: i64 = 36;

/// What a platform says of a campaign's hour: the main action in the account's main window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Index in the world.
    pub campaign: usize,
    /// Hours since the world began.
    pub hour: i64,
    /// Times shown.
    pub impressions: i64,
    /// Times clicked.
    pub clicks: i64,
    /// 10^-6 of the currency.
    pub cost_micros: i64,
    /// In 10^-6.
    pub conversions_micros: i64,
    /// 10^-6 of the currency.
    pub value_micros: i64,
}

/// What a platform says of an ad's hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdHour {
    /// Index in the world.
    pub ad: usize,
    /// Hours since the world began.
    pub hour: i64,
    /// Times shown.
    pub impressions: i64,
    /// Times clicked, less those found invalid.
    pub clicks: i64,
    /// Clicks found invalid and taken out.
    pub invalid_clicks: i64,
    /// 10^-6 of the currency.
    pub cost_micros: i64,
}

/// What a platform says of an ad's conversions of one type in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionHour {
    /// Index in the world.
    pub ad: usize,
    /// Hours since the world began, of the click or view.
    pub hour: i64,
    /// Index in the campaign's actions.
    pub action: usize,
    /// The platform's name.
    pub action_type: &'static str,
    /// The window's name.
    pub window: &'static str,
    /// In 10^-6.
    pub conversions_micros: i64,
    /// 10^-6 of the currency.
    pub value_micros: i64,
}

/// Rows of one platform in one delivery.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By campaign and hour.
    pub cells: Vec<Cell>,
    /// By ad and hour.
    pub ad_hours: Vec<AdHour>,
    /// By ad, hour, type and window.
    pub actions: Vec<ActionHour>,
    pub(crate) orders: Vec<Order>,
    pub(crate) leads: Vec<Lead>,
    pub(crate) comments: Vec<Comment>,
}

impl Report {
    /// (ad, hour) of each comment.
    pub fn commented(&self) -> impl Iterator<Item = (usize, i64)> + '_ {
        self.comments.iter().map(|c| (c.ad, c.hour))
    }
}

/// A mistake between platform and lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Every number twice: a file was loaded twice.
    Twice,
    /// No rows.
    Missing,
    /// Conversions twice.
    DoubleCount,
    /// Value in hundredths.
    Unit,
}

/// A mistake in an account's hours, until a delivery corrects it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub mistake: Mistake,
    pub account: usize,
    pub from: i64,
    pub until: i64,
    /// Hour of the delivery that corrects it.
    pub corrected: i64,
}

/// What an ad did in an hour.
#[derive(Clone, Copy)]
pub(crate) struct Drawn {
    pub impressions: i64,
    pub clicks: i64,
    pub invalid: i64,
    pub cost: f64,
}

/// An ad's hour, or a campaign's, as said at some time.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Said {
    there: bool,
    impressions: i64,
    clicks: i64,
    invalid: i64,
    cost_micros: i64,
    conversions_micros: i64,
    value_micros: i64,
}

impl Said {
    fn add(&mut self, other: Said) {
        self.there |= other.there;
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.cost_micros += other.cost_micros;
        self.conversions_micros += other.conversions_micros;
        self.value_micros += other.value_micros;
    }
}

impl World {
    /// What `platform` (by index) says of `hours` at `seen`, in hours since the world began; of
    /// hours with a time, only what changed since that time. Rows of zeros are left out.
    pub fn report(&self, platform: usize, hours: &BTreeMap<i64, Option<i64>>, seen: i64) -> Report {
        let mut report = Report::default();
        let mut conversions = vec![];
        let days: std::collections::BTreeSet<i64> =
            hours.keys().map(|h| h.div_euclid(24)).collect();
        for c in 0..self.entities.campaigns.len() {
            let campaign = &self.entities.campaigns[c];
            if campaign.platform != platform {
                continue;
            }
            for day in days.iter().filter(|d| **d * 24 + 24 > campaign.launch_hour) {
                let rates = self.day_rates(c, *day, TRUE);
                for (hour, before) in hours.range(day * 24..day * 24 + 24) {
                    let from = (hour - day * 24) as usize * campaign.ads.len();
                    let rates = &rates[from..from + campaign.ads.len()];
                    self.hour(c, *hour, rates, (seen, *before), &mut report, &mut conversions);
                }
            }
        }
        report
    }

    fn hour(
        &self,
        c: usize,
        hour: i64,
        rates: &[Rate],
        (seen, before): (i64, Option<i64>),
        report: &mut Report,
        conversions: &mut Vec<Conversion>,
    ) {
        let campaign = &self.entities.campaigns[c];
        let (mut now, mut then) = (Said::default(), Said::default());
        for (k, rate) in campaign.ads.clone().zip(rates) {
            let Some(drawn) = self.draw(k, hour, rate) else { continue };
            conversions.clear();
            self.convert(k, hour, drawn.clicks, rate, conversions);
            let said = self.said(k, hour, &drawn, conversions, seen);
            let past =
                before.map(|t| self.said(k, hour, &drawn, conversions, t)).unwrap_or_default();
            now.add(said);
            then.add(past);
            let delivery = |s: Said| (s.there, s.impressions, s.clicks, s.cost_micros);
            if said.there && delivery(said) != delivery(past) {
                report.ad_hours.push(AdHour {
                    ad: k,
                    hour,
                    impressions: said.impressions,
                    clicks: said.clicks,
                    invalid_clicks: said.invalid,
                    cost_micros: said.cost_micros,
                });
            }
            if !conversions.is_empty() {
                self.actions(k, hour, conversions, (seen, before), &mut report.actions);
                self.people(k, hour, conversions, (seen, before), report);
            }
            if before.is_none() {
                self.comments(k, hour, drawn.impressions, rate, &mut report.comments);
            }
        }
        if now.there && now != then {
            report.cells.push(Cell {
                campaign: c,
                hour,
                impressions: now.impressions,
                clicks: now.clicks,
                cost_micros: now.cost_micros,
                conversions_micros: now.conversions_micros,
                value_micros: now.value_micros,
            });
        }
    }

    /// What ad `k` did in `hour`: `None` if it was not shown.
    pub(crate) fn draw(&self, k: usize, hour: i64, rate: &Rate) -> Option<Drawn> {
        if rate.impressions <= 0.0 {
            return None;
        }
        let mut draw = Draw::new(self.settings.seed, Stream::Cell, k as u64, hour);
        let mean = rate.impressions * draw.dispersed(rate.dispersion);
        let impressions = draw.poisson(mean);
        if impressions == 0 {
            return None;
        }
        let noise = self.climate.hourly_ctr;
        let ctr = rate.ctr * exp(noise * draw.normal() - noise * noise / 2.0);
        let clicks = draw.binomial(impressions, ctr.min(0.9));
        let single = 0.3 / ((clicks.max(1)) as f64).sqrt();
        let price = exp(single * draw.normal() - single * single / 2.0);
        let sold = clicks as f64 * rate.per_click + impressions as f64 * rate.per_impression;
        let invalid = draw.binomial(clicks, self.climate.invalid);
        Some(Drawn { impressions, clicks, invalid, cost: sold * price })
    }

    fn said(&self, k: usize, hour: i64, d: &Drawn, all: &[Conversion], seen: i64) -> Said {
        let campaign = &self.entities.campaigns[self.entities.ads[k].campaign];
        let mistake = self.mistake(campaign.account, hour, seen);
        if mistake == Some(Mistake::Missing) {
            return Said::default();
        }
        let settled = seen - hour >= INVALID_AFTER_HOURS;
        let invalid = if settled { d.invalid } else { 0 };
        let valid = if d.clicks == 0 { 1.0 } else { (d.clicks - invalid) as f64 / d.clicks as f64 };
        // Who sells impressions gives nothing back for a click.
        let cost = if campaign.platform == 0 { d.cost * valid } else { d.cost };
        let window = self.main_window(campaign.account, hour);
        let main = all.iter().filter(|c| c.action == 0 && c.counts(window, seen as f64));
        let (count, value) =
            main.fold((0, 0), |(n, v), c| (n + c.credit_micros, v + c.value_micros));
        let twice = |on: &[Mistake]| 1 + i64::from(mistake.is_some_and(|m| on.contains(&m)));
        let all = twice(&[Mistake::Twice]);
        let counted = all * twice(&[Mistake::DoubleCount]);
        let unit = if mistake == Some(Mistake::Unit) { 100 } else { 1 };
        Said {
            there: true,
            impressions: d.impressions * all,
            clicks: (d.clicks - invalid) * all,
            invalid: invalid * all,
            cost_micros: (cost * 1e6).round() as i64 * all,
            conversions_micros: count * counted,
            value_micros: value * counted * unit,
        }
    }

    fn actions(
        &self,
        k: usize,
        hour: i64,
        all: &[Conversion],
        (seen, before): (i64, Option<i64>),
        into: &mut Vec<ActionHour>,
    ) {
        let campaign = &self.entities.campaigns[self.entities.ads[k].campaign];
        for (action, a) in campaign.actions.iter().enumerate() {
            for window in windows(campaign.platform) {
                let now = self.counted(campaign.account, hour, all, (action, window), seen);
                let then = before
                    .map(|t| self.counted(campaign.account, hour, all, (action, window), t))
                    .unwrap_or_default();
                if now == then {
                    continue;
                }
                for action_type in action_types(campaign.platform, a.kind) {
                    into.push(ActionHour {
                        ad: k,
                        hour,
                        action,
                        action_type,
                        window: window.name,
                        conversions_micros: now.0,
                        value_micros: now.1,
                    });
                }
            }
        }
    }

    /// Conversions and value that a window counts at `seen`, 10^-6.
    fn counted(
        &self,
        account: usize,
        hour: i64,
        all: &[Conversion],
        (action, window): (usize, &Window),
        seen: i64,
    ) -> (i64, i64) {
        let counts = all.iter().filter(|c| c.action == action && c.counts(window, seen as f64));
        let (n, v) = counts.fold((0, 0), |(n, v), c| (n + c.credit_micros, v + c.value_micros));
        match self.mistake(account, hour, seen) {
            None => (n, v),
            Some(Mistake::Missing) => (0, 0),
            Some(Mistake::Twice | Mistake::DoubleCount) => (2 * n, 2 * v),
            Some(Mistake::Unit) => (n, 100 * v),
        }
    }

    fn mistake(&self, account: usize, hour: i64, seen: i64) -> Option<Mistake> {
        let hit = |f: &&Fault| {
            f.account == account && f.from <= hour && hour < f.until && seen < f.corrected
        };
        self.faults.iter().find(hit).map(|f| f.mistake)
    }

    /// Does a row count a campaign's main action, once, in its account's main window?
    pub fn is_main(&self, row: &ActionHour) -> bool {
        let campaign = &self.entities.campaigns[self.entities.ads[row.ad].campaign];
        let kind = campaign.actions[row.action].kind;
        row.action == 0
            && row.action_type == action_types(campaign.platform, kind)[0]
            && row.window == self.main_window(campaign.account, row.hour).name
    }

    /// The window in which an account's main numbers count at `hour`.
    pub(crate) fn main_window(&self, account: usize, hour: i64) -> &'static Window {
        let of = &self.entities.accounts[account];
        let changed = self.window_changes.iter().rev();
        let changed = changed.filter(|w| w.account == account && w.from <= hour).map(|w| w.window);
        &windows(of.platform)[changed.into_iter().next().unwrap_or(of.window)]
    }
}

/// An account counts conversions by another window from an hour on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowChange {
    pub account: usize,
    pub from: i64,
    pub window: usize,
}
