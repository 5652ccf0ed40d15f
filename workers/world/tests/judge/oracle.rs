//! The oracle: knows the parameters, the lag curves and the known events; knows no drift and no
//! incident. After each delivery it compares each window of each scope with what it expects.

use world::World;
use world::rates::Rate;
use world::truth::Scope;
use world::truth::oracle::{Noise, ODD, above, amount, below};
use world::truth::power::{PARITY_ROWS, SPLIT, VALUES, WINDOWS};

use crate::Alert;
use crate::seen::{Cell, Seen};

/// Sums over a window: what was seen, and what was expected given what was shown or clicked.
#[derive(Clone, Copy, Default)]
struct Sums {
    shown: f64,
    shown_known: f64,
    shown_square: f64,
    clicks: f64,
    clicks_known: f64,
    cost: f64,
    cost_known: f64,
    conversions: f64,
    conversions_known: f64,
    value: f64,
    value_known: f64,
    value_square: f64,
    comments: f64,
    comments_known: f64,
}

impl Sums {
    fn add(&mut self, o: &Sums) {
        self.shown += o.shown;
        self.shown_known += o.shown_known;
        self.shown_square += o.shown_square;
        self.clicks += o.clicks;
        self.clicks_known += o.clicks_known;
        self.cost += o.cost;
        self.cost_known += o.cost_known;
        self.conversions += o.conversions;
        self.conversions_known += o.conversions_known;
        self.value += o.value;
        self.value_known += o.value_known;
        self.value_square += o.value_square;
        self.comments += o.comments;
        self.comments_known += o.comments_known;
    }
}

impl Sums {
    fn add_hour(
        &mut self,
        cell: &Cell,
        rate: &Rate,
        credit: f64,
        talk: f64,
        ripe: &dyn Fn() -> f64,
    ) {
        if !rate.bound {
            self.shown += cell.impressions;
            self.shown_known += rate.impressions;
            self.shown_square += rate.impressions * rate.impressions;
        }
        if cell.impressions == 0.0 {
            return;
        }
        self.clicks += cell.clicks;
        self.clicks_known += cell.impressions * rate.ctr;
        self.cost += cell.cost;
        self.cost_known += cell.clicks * rate.per_click + cell.impressions * rate.per_impression;
        self.comments += cell.comments;
        self.comments_known += cell.impressions * talk * rate.comments;
        if cell.clicks > 0.0 {
            self.conversions += cell.conversions / credit;
            self.conversions_known += cell.clicks * rate.cvr * ripe();
            self.value += cell.value;
            self.value_known += cell.conversions * rate.value;
            self.value_square += cell.conversions * rate.value * rate.value;
        }
    }
}

struct Place {
    scope: Scope,
    platform: usize,
    ads: Vec<usize>,
    noise: Noise,
}

/// See the module.
pub struct Oracle {
    hours: usize,
    known: Vec<Rate>,
    places: Vec<Place>,
    /// By campaign: for each length of window, the ripe share by age in hours.
    ripe: Vec<Vec<(f64, Vec<f64>)>>,
}

impl Oracle {
    pub fn new(world: &World) -> Self {
        let (campaigns, ads) = world.sizes();
        let hours = world.settings().days as usize * 24;
        let mut known = vec![Rate::default(); hours * ads];
        for c in 0..campaigns {
            let own = world.ads_of(Scope::Campaign(c));
            for day in 0..hours / 24 {
                for (i, rate) in world.known_rates(c, day as i64).into_iter().enumerate() {
                    known[own[i % own.len()] * hours + day * 24 + i / own.len()] = rate;
                }
            }
        }
        let place = |(scope, platform)| Place {
            scope,
            platform,
            ads: world.ads_of(scope),
            noise: world.noise(scope),
        };
        let last = hours as i64 - 1;
        let table = |c: usize, hour: i64| {
            let of =
                (0..WINDOWS[WINDOWS.len() - 1] + 48).map(|age| world.ripe(c, hour, hour + age));
            (world.window_days(c, hour), of.collect())
        };
        let ripe = (0..campaigns).map(|c| vec![table(c, 0), table(c, last)]).collect();
        Oracle { hours, known, places: world.scopes().into_iter().map(place).collect(), ripe }
    }

    /// Sums of an ad over each window that ends at `cut`.
    fn sums(&self, world: &World, seen: &Seen, ad: usize, cut: i64) -> [Sums; WINDOWS.len()] {
        let (mut s, mut all) = (Sums::default(), [Sums::default(); WINDOWS.len()]);
        let campaign = world.campaign_of(ad);
        let (credit, talk) = (world.credit(campaign), world.comment_rate(ad));
        let (mut from, mut window) = (cut, 0);
        while window < WINDOWS.len() {
            from -= 1;
            if let Some(cell) = seen.of(ad, from, from + 1).first().filter(|_| from >= 0) {
                let rate = &self.known[ad * self.hours + from as usize];
                s.add_hour(cell, rate, credit, talk, &|| self.ripe(world, campaign, from, cell.at));
            }
            while window < WINDOWS.len() && cut - from == WINDOWS[window] {
                all[window] = s;
                window += 1;
            }
        }
        all
    }

    fn ripe(&self, world: &World, campaign: usize, hour: i64, at: i64) -> f64 {
        let days = world.window_days(campaign, hour);
        let table = self.ripe[campaign].iter().find(|(d, _)| *d == days);
        let known = table.and_then(|(_, t)| t.get((at - hour) as usize));
        known.copied().unwrap_or_else(|| world.ripe(campaign, hour, at))
    }

    /// What is odd after delivery `n`.
    pub fn alerts(&mut self, world: &World, seen: &Seen, n: u32) -> Vec<Alert> {
        let at = world.delivered_hour(n);
        let mut alerts = vec![];
        for platform in 0..world::PLATFORMS.len() {
            let cut = world.cut(platform, n);
            let usual = world.delivered_hour(n) - 2;
            if cut < usual.min(self.hours as i64) {
                let scope = Scope::Platform(platform);
                alerts.push(Alert { scope, what: "late", at, score: 9.0 });
                continue;
            }
            self.windows(world, seen, (platform, at, cut), &mut alerts);
            self.parity(seen, platform, at, cut, &mut alerts);
        }
        alerts
    }

    fn windows(
        &self,
        world: &World,
        seen: &Seen,
        (platform, at, cut): (usize, i64, i64),
        alerts: &mut Vec<Alert>,
    ) {
        let here: Vec<&Place> = self.places.iter().filter(|p| p.platform == platform).collect();
        let mut by_ad = std::collections::HashMap::new();
        for place in here.iter().filter(|p| matches!(p.scope, Scope::Campaign(_))) {
            for ad in &place.ads {
                by_ad.insert(*ad, self.sums(world, seen, *ad, cut));
            }
        }
        for (window, _) in WINDOWS.iter().enumerate() {
            let total = |place: &Place| {
                let mut s = Sums::default();
                place.ads.iter().for_each(|ad| s.add(&by_ad[ad][window]));
                s
            };
            // Is everybody up or down?
            let mut moved: Vec<f64> = here
                .iter()
                .filter(|p| matches!(p.scope, Scope::Campaign(_)))
                .map(|p| total(p))
                .filter(|s| s.shown_known > 30.0)
                .map(|s| ((s.shown + 0.5) / (s.shown_known + 0.5)).ln())
                .collect();
            moved.sort_by(f64::total_cmp);
            let context = if moved.is_empty() { 0.0 } else { moved[moved.len() / 2] };
            for place in &here {
                let odd = odd(&total(place), &place.noise, context);
                let odd = odd.into_iter().filter(|(_, score)| *score >= ODD);
                let alert = |(what, score)| Alert { scope: place.scope, what, at, score };
                alerts.extend(odd.map(alert));
            }
        }
    }

    /// An account-day of even numbers: today so far, or yesterday.
    fn parity(&self, seen: &Seen, platform: usize, at: i64, cut: i64, alerts: &mut Vec<Alert>) {
        let today = cut.div_euclid(24) * 24;
        let accounts = self.places.iter().filter(|p| matches!(p.scope, Scope::Account(_)));
        for place in accounts.filter(|p| p.platform == platform) {
            for (from, until) in [(today - 24, today), (today, cut)] {
                let cells = place.ads.iter().flat_map(|ad| seen.of(*ad, from, until));
                let (mut rows, mut even) = (0, 0);
                for cell in cells.filter(|c| c.impressions > 0.0) {
                    rows += 1;
                    even += usize::from(cell.even);
                }
                if rows >= PARITY_ROWS && rows == even {
                    alerts.push(Alert { scope: place.scope, what: "even", at, score: 9.0 });
                }
            }
        }
    }
}

fn odd(s: &Sums, noise: &Noise, context: f64) -> Vec<(&'static str, f64)> {
    let mut odd = vec![];
    if s.shown_known > 0.0 {
        let burst = noise.dispersion * s.shown_square / (s.shown_known * s.shown_known);
        // A shock does not meet all alike.
        let variance = noise.volume + burst + 0.25 * context * context;
        let known = s.shown_known * context.exp();
        odd.push(("impressions up", above(s.shown, known, variance)));
        // Where everybody is up, budgets stop some.
        if context < 0.35 {
            odd.push(("impressions down", below(s.shown, known, variance)));
        }
    }
    odd.push(("ctr up", above(s.clicks, s.clicks_known, noise.ctr)));
    odd.push(("ctr down", below(s.clicks, s.clicks_known, noise.ctr)));
    let split = noise.cvr + SPLIT / s.conversions_known.max(0.1);
    odd.push(("cvr up", above(s.conversions, s.conversions_known, split)));
    odd.push(("cvr down", below(s.conversions, s.conversions_known, split)));
    odd.push(("comments up", above(s.comments, s.comments_known, 0.0)));
    if s.clicks > 2.0 {
        let z = amount(s.cost, s.cost_known, noise.cpc + 0.09 / s.clicks);
        odd.extend([("cpc up", z), ("cpc down", -z)]);
    }
    let values = s.value_known * s.value_known / s.value_square.max(1e-9);
    if values >= VALUES {
        let z = amount(s.value, s.value_known, (noise.value + SPLIT) / values);
        odd.extend([("value up", z), ("value down", -z)]);
    }
    odd
}
