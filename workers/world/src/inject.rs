//! Incidents injected into a real series.
//!
//! A labelled incident in numbers that no generator made: take a real campaign (or any five columns
//! by hour or day), break it as a kind of incident would, and keep the label.

use libm::exp;

use crate::keyed::{Draw, Stream};
use crate::rates::Quantity;
use crate::truth::Kind;
use crate::truth::incidents::changes;

/// A real series, one entry per hour or day. Columns that are not known stay empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Times shown.
    pub impressions: Vec<f64>,
    /// Times clicked.
    pub clicks: Vec<f64>,
    /// Currency.
    pub cost: Vec<f64>,
    /// Count.
    pub conversions: Vec<f64>,
    /// Currency.
    pub value: Vec<f64>,
}

/// What was injected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    /// What.
    pub kind: Kind,
    /// First entry.
    pub onset: usize,
    /// First entry after.
    pub end: usize,
    /// How much.
    pub factor: f64,
}

/// Break `series` from entry `onset` for `length` entries, as `kind` would. The same seed breaks it
/// in the same way. Kinds that no series shows (bot comments, a late extract) change nothing.
pub fn inject(series: &mut Series, kind: Kind, onset: usize, length: usize, seed: u64) -> Label {
    let mut draw = Draw::new(seed, Stream::Inject, kind as u64, onset as i64);
    let (factor, changes) = changes(kind, &mut draw);
    let end = onset + length;
    let ramp = if kind == Kind::CreativeFatigue { length as f64 / 2.0 } else { 1.0 };
    for t in onset..end {
        let part = ((t - onset + 1) as f64 / ramp).min(1.0);
        let mut by = Factors::default();
        for (quantity, f) in &changes {
            let f = if *f == 0.0 { 0.0 } else { exp(libm::log(*f) * part) };
            by.change(*quantity, f);
        }
        match kind {
            Kind::TrackingOutage => by.change(Quantity::Cvr, factor),
            Kind::DoubleCount => by.change(Quantity::Cvr, 2.0),
            Kind::ValueUnit => by.change(Quantity::Value, 100.0),
            Kind::FileTwice => by.volume = 2.0,
            Kind::MissingHours => by.volume = 0.0,
            // The day's first half, as far as entries tell: the budget is gone after it.
            Kind::BudgetByNoon => by.volume = if t % 24 < 12 { factor / 2.0 } else { 0.0 },
            _ => {}
        }
        by.apply(series, t);
    }
    Label { kind, onset, end, factor }
}

struct Factors {
    volume: f64,
    ctr: f64,
    cpc: f64,
    cvr: f64,
    value: f64,
}

impl Default for Factors {
    fn default() -> Self {
        Factors { volume: 1.0, ctr: 1.0, cpc: 1.0, cvr: 1.0, value: 1.0 }
    }
}

impl Factors {
    fn change(&mut self, quantity: Quantity, by: f64) {
        match quantity {
            Quantity::Volume => self.volume *= by,
            Quantity::Ctr => self.ctr *= by,
            Quantity::Cpc => self.cpc *= by,
            Quantity::Cvr => self.cvr *= by,
            Quantity::Value => self.value *= by,
            Quantity::Budget | Quantity::Comments => {}
        }
    }

    fn apply(&self, series: &mut Series, t: usize) {
        let clicks = self.volume * self.ctr;
        let columns = [
            (&mut series.impressions, self.volume),
            (&mut series.clicks, clicks),
            (&mut series.cost, clicks * self.cpc),
            (&mut series.conversions, clicks * self.cvr),
            (&mut series.value, clicks * self.cvr * self.value),
        ];
        for (column, by) in columns {
            if let Some(x) = column.get_mut(t) {
                *x *= by;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_takes_conversions_and_leaves_clicks() {
        let flat = || vec![10.0; 48];
        let mut series = Series { clicks: flat(), conversions: flat(), ..Series::default() };
        let label = inject(&mut series, Kind::TrackingOutage, 20, 5, 1);
        assert_eq!((label.onset, label.end), (20, 25));
        assert_eq!(series.clicks, flat());
        assert!(series.conversions[20..25].iter().all(|x| *x < 2.0));
        assert!(
            series.conversions[25..].iter().chain(&series.conversions[..20]).all(|x| *x == 10.0)
        );
    }
}
