//! What has been delivered so far: the newest word on each ad's hour.

use world::World;

/// An ad's hour as last reported.
#[derive(Clone, Copy, Default)]
pub struct Cell {
    pub impressions: f64,
    pub clicks: f64,
    pub cost: f64,
    /// 10^-6 are one; fractional credit.
    pub conversions: f64,
    pub value: f64,
    pub comments: f64,
    /// Every number is even.
    pub even: bool,
    /// When the platform last looked at the hour, hours since the world began.
    pub at: i64,
}

/// All of them: by ad, by hour.
pub struct Seen {
    pub hours: usize,
    pub cells: Vec<Cell>,
}

impl Seen {
    pub fn new(world: &World) -> Self {
        let hours = world.settings().days as usize * 24;
        Seen { hours, cells: vec![Cell::default(); hours * world.sizes().1] }
    }

    /// An ad's hours, those outside the world left out.
    pub fn of(&self, ad: usize, from: i64, until: i64) -> &[Cell] {
        let clamp = |h: i64| h.clamp(0, self.hours as i64) as usize;
        &self.cells[ad * self.hours..(ad + 1) * self.hours][clamp(from)..clamp(until)]
    }

    /// Delivery `n`.
    pub fn take(&mut self, world: &World, n: u32) {
        let at = world.delivered_hour(n);
        for platform in 0..world::PLATFORMS.len() {
            let hours = world.reported(platform, n);
            let report = world.report(platform, &hours, at);
            for (scope, on) in world.scopes() {
                // Ads that are all of their campaign are listed as the campaign.
                let world::truth::Scope::Campaign(_) = scope else { continue };
                if on == platform {
                    for ad in world.ads_of(scope) {
                        hours
                            .keys()
                            .for_each(|h| self.cells[ad * self.hours + *h as usize].at = at);
                    }
                }
            }
            for row in &report.ad_hours {
                let cell = &mut self.cells[row.ad * self.hours + row.hour as usize];
                cell.impressions = row.impressions as f64;
                cell.clicks = row.clicks as f64;
                cell.cost = row.cost_micros as f64 / 1e6;
                cell.even = (row.impressions | row.clicks | row.cost_micros) & 1 == 0;
            }
            for row in report.actions.iter().filter(|r| world.is_main(r)) {
                let cell = &mut self.cells[row.ad * self.hours + row.hour as usize];
                cell.conversions = row.conversions_micros as f64 / 1e6;
                cell.value = row.value_micros as f64 / 1e6;
            }
            for (ad, hour) in report.commented() {
                self.cells[ad * self.hours + hour as usize].comments += 1.0;
            }
        }
    }
}
