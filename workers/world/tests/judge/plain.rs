//! A plain robust z: a campaign's last 24 hours against its 28 blocks of 24 hours before.

use world::World;
use world::truth::Scope;

use crate::Alert;
use crate::seen::{Cell, Seen};

/// A name, and a number of an ad's hour.
type Metric = (&'static str, fn(&Cell) -> f64);

/// The metrics it looks at.
pub const METRICS: [Metric; 5] = [
    ("impressions", |c| c.impressions),
    ("clicks", |c| c.clicks),
    ("cost", |c| c.cost),
    ("conversions", |c| c.conversions),
    ("value", |c| c.value),
];

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Every campaign's oddest metric after delivery `n`, from a score of 3 on.
pub fn alerts(world: &World, seen: &Seen, n: u32) -> Vec<Alert> {
    let mut alerts = vec![];
    for (scope, platform) in world.scopes() {
        let Scope::Campaign(_) = scope else { continue };
        let (at, cut) = (world.delivered_hour(n), world.cut(platform, n));
        let ads = world.ads_of(scope);
        for (what, metric) in METRICS {
            let block = |back: i64| -> f64 {
                let (from, until) = (cut - 24 * (back + 1), cut - 24 * back);
                ads.iter().flat_map(|ad| seen.of(*ad, from, until)).map(metric).sum()
            };
            let now = block(0);
            let mut past: Vec<f64> = (1..=28).map(block).collect();
            let usual = median(&mut past);
            // Of a metric that is mostly zero, a median says nothing.
            if usual <= 0.0 {
                continue;
            }
            let mut far: Vec<f64> = past.iter().map(|x| (x - usual).abs()).collect();
            let spread = median(&mut far).max(0.05 * usual.abs()).max(1.0);
            let score = 0.6745 * (now - usual).abs() / spread;
            if score >= 3.0 {
                alerts.push(Alert { scope, what, at, score });
            }
        }
    }
    alerts
}
