//! Goals, and whether they are missed: for plain reasons, or because something broke.

use libm::exp;

use crate::World;
use crate::keyed::{Draw, Stream};
use crate::rates::{KNOWN, TRUE, View};

/// Campaigns with goals, at most: their outcomes are drawn in full.
const CAMPAIGNS_MAX: usize = 200;
const PERIOD_DAYS: i64 = 28;
/// Days after a period by which its conversions are all known.
const FINAL_DAYS: i64 = 120;

/// What a campaign should reach.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Number in the world.
    pub id: usize,
    /// Index of the campaign in the world.
    pub campaign: usize,
    /// `cpa` (currency), `roas` (ratio), `conversions` (count) or `cost` (currency).
    pub metric: &'static str,
    /// The value to reach.
    pub target: f64,
    /// `at_most` or `at_least`.
    pub direction: &'static str,
    /// First day (UTC) of the period, from the world's first.
    pub first_day: i64,
    /// First day after.
    pub end_day: i64,
    /// What it was in the end.
    pub outcome: f64,
    /// The goal is missed.
    pub missed: bool,
    /// `plain`, `incident` or `none`.
    pub reason: &'static str,
}

/// Cost, conversions and value of a period.
#[derive(Clone, Copy, Default)]
struct Totals {
    cost: f64,
    conversions: f64,
    value: f64,
}

impl Totals {
    fn metric(&self, name: &str) -> f64 {
        match name {
            "cpa" => self.cost / self.conversions.max(0.5),
            "roas" => self.value / self.cost.max(1e-6),
            "conversions" => self.conversions,
            _ => self.cost,
        }
    }
}

impl World {
    /// All goals, with what became of them.
    pub fn goals(&self) -> Vec<Goal> {
        let mut goals = vec![];
        for c in 0..self.entities.campaigns.len().min(CAMPAIGNS_MAX) {
            let launch = (self.entities.campaigns[c].launch_hour + 23) / 24;
            let mut first = launch;
            while first + PERIOD_DAYS <= i64::from(self.settings.days) {
                let mut draw = Draw::new(self.settings.seed, Stream::Goal, c as u64, first);
                if draw.chance(0.7) {
                    let id = goals.len();
                    goals.push(self.goal(id, c, first, &mut draw));
                }
                first += PERIOD_DAYS;
            }
        }
        goals
    }

    fn goal(&self, id: usize, campaign: usize, first_day: i64, draw: &mut Draw) -> Goal {
        let c = &self.entities.campaigns[campaign];
        let (metric, direction) = match (c.objective, draw.below(4)) {
            (_, 0) => ("conversions", "at_least"),
            (_, 1) => ("cost", "at_most"),
            ("sales", _) => ("roas", "at_least"),
            _ => ("cpa", "at_most"),
        };
        let end_day = first_day + PERIOD_DAYS;
        let expected = self.expected(campaign, first_day..end_day).metric(metric);
        // People ask for a little more than they get.
        let sign = if direction == "at_least" { 1.0 } else { -1.0 };
        let target = expected * exp(sign * -0.1 + 0.3 * draw.normal());
        let misses = |x: f64| if direction == "at_least" { x < target } else { x > target };
        let outcome = self.outcome(campaign, first_day..end_day, TRUE).metric(metric);
        let missed = misses(outcome);
        let broke = self.incidents.iter().any(|i| {
            i.onset < end_day * 24
                && i.end > first_day * 24
                && self.campaigns_of(i.scope).contains(&campaign)
        });
        let reason = match (missed, broke) {
            (false, _) => "none",
            (true, false) => "plain",
            (true, true) => {
                let whole = View { drift: true, incidents: false };
                let without = self.outcome(campaign, first_day..end_day, whole).metric(metric);
                if misses(without) { "plain" } else { "incident" }
            }
        };
        Goal {
            id,
            campaign,
            metric,
            target,
            direction,
            first_day,
            end_day,
            outcome,
            missed,
            reason,
        }
    }

    fn expected(&self, c: usize, days: std::ops::Range<i64>) -> Totals {
        let mut total = Totals::default();
        let credit = self.credit(c);
        let of = &self.entities.campaigns[c];
        let days_counted = self.main_window(of.account, days.start * 24).days;
        let counted = credit * of.actions[0].lag.reported(days_counted.max(30.0), days_counted);
        for rate in days.flat_map(|d| self.day_rates(c, d, KNOWN)) {
            let conversions = rate.impressions * rate.ctr * rate.cvr * counted;
            total.cost += rate.cost();
            total.conversions += conversions;
            total.value += conversions * rate.value;
        }
        total
    }

    /// What a campaign's days come to in the end, in some view of the world.
    fn outcome(&self, c: usize, days: std::ops::Range<i64>, view: View) -> Totals {
        let mut total = Totals::default();
        let of = &self.entities.campaigns[c];
        let mut conversions = vec![];
        let seen = ((days.end + FINAL_DAYS) * 24) as f64;
        for day in days {
            let rates = self.day_rates(c, day, view);
            for (i, rate) in rates.iter().enumerate() {
                let hour = day * 24 + (i / of.ads.len()) as i64;
                let k = of.ads.start + i % of.ads.len();
                let Some(drawn) = self.draw(k, hour, rate) else { continue };
                conversions.clear();
                self.convert(k, hour, drawn.clicks, rate, &mut conversions);
                let valid = (drawn.clicks - drawn.invalid) as f64 / drawn.clicks.max(1) as f64;
                total.cost += if of.platform == 0 { drawn.cost * valid } else { drawn.cost };
                let window = self.main_window(of.account, hour);
                for conversion in conversions.iter_mut().filter(|x| x.action == 0) {
                    conversion.lost &= view.incidents;
                    if conversion.counts(window, seen) {
                        total.conversions += conversion.credit_micros as f64 / 1e6;
                        total.value += conversion.value_micros as f64 / 1e6;
                    }
                }
            }
        }
        total
    }
}
