//! Which incidents can be found at all: by power, before anything is drawn.
//!
//! For each delivery up to the deadline and each window that ends with it, the incident's mean is
//! compared with the mean without it, under the noise law. If even the unfavourable one in a
//! hundred is odd, the incident is detectable.

use libm::erfc;

use super::Kind;
use super::oracle::{Noise, ODD, Statistic, above, amount, below};
use super::{Incident, Scope};
use crate::World;
use crate::rates::{KNOWN, Rate, View};

/// Windows that an observer looks at, hours before the last delivered one.
pub const WINDOWS: [i64; 6] = [3, 6, 12, 24, 72, 168];
/// Fewer rows are even by chance: in the least case only their impressions tell.
pub const PARITY_ROWS: usize = 24;
/// Fewer values say nothing about their mean.
pub const VALUES: f64 = 8.0;
/// Standard normal quantile of 0.99.
const UNLUCKY: f64 = 2.33;
/// Variance of credit over its squared mean, where platforms split it.
pub const SPLIT: f64 = 0.18;

const INCIDENTS: View = View { drift: false, incidents: true };

/// An hour of a scope's ad: without and with incidents.
struct Pair {
    hour: i64,
    ad: usize,
    without: Rate,
    with: Rate,
}

/// Decide for each incident, and say what it costs.
pub(crate) fn assess(world: &mut World) {
    for n in 0..world.incidents.len() {
        let incident = world.incidents[n].clone();
        let power = match incident.kind {
            Kind::LateExtract => lateness(world, &incident),
            _ => power(world, &incident),
        };
        let money = money(world, &incident);
        let it = &mut world.incidents[n];
        (it.power, it.detectable, it.money_micros) = (power, power >= 0.99, money);
    }
}

fn pairs(world: &World, scope: Scope, from: i64, until: i64) -> Vec<Pair> {
    let ads = world.ads_of(scope);
    let mut all = vec![];
    for c in world.campaigns_of(scope) {
        let own = world.entities.campaigns[c].ads.clone();
        for day in from.max(0).div_euclid(24)..=(until - 1).div_euclid(24) {
            let (without, with) =
                (world.day_rates(c, day, KNOWN), world.day_rates(c, day, INCIDENTS));
            for (i, (a, b)) in without.into_iter().zip(with).enumerate() {
                let (hour, ad) = (day * 24 + (i / own.len()) as i64, own.start + i % own.len());
                if ads.contains(&ad) && (from..until).contains(&hour) {
                    all.push(Pair { hour, ad, without: a, with: b });
                }
            }
        }
    }
    all
}

fn lateness(world: &World, incident: &Incident) -> f64 {
    let by = incident.onset + incident.kind.sort().deadline_hours;
    let seen = |n: u32| (incident.onset..=by).contains(&world.delivered_hour(n));
    f64::from(u8::from((0..world.deliveries()).any(seen)))
}

/// The best power over deliveries and windows.
fn power(world: &World, incident: &Incident) -> f64 {
    let sort = incident.kind.sort();
    let by = incident.onset + sort.deadline_hours;
    let pairs = pairs(world, incident.scope, incident.onset - 168, by.min(incident.end + 168));
    let noise = world.noise(incident.scope);
    let platform = world.entities.campaigns[world.campaigns_of(incident.scope)[0]].platform;
    let mut best: f64 = 0.0;
    let seen = |n: &u32| (incident.onset + 1..=by).contains(&world.delivered_hour(*n));
    for n in (0..world.deliveries()).filter(seen) {
        let (at, cut) = (world.delivered_hour(n), world.cut(platform, n));
        for window in WINDOWS {
            if cut <= incident.onset || cut - window >= incident.end {
                continue;
            }
            let inside: Vec<&Pair> =
                pairs.iter().filter(|p| (cut - window..cut).contains(&p.hour)).collect();
            let statistic = sort.statistic;
            best = best.max(chance(world, incident, statistic, &inside, at, &noise));
            if incident.kind == Kind::FalsePromise || incident.kind == Kind::ClickFraud {
                best = best.max(chance(world, incident, Statistic::Cvr, &inside, at, &noise));
            }
        }
        if best > 0.999 {
            break;
        }
    }
    best
}

/// Probability that a statistic of a window is odd.
fn chance(
    world: &World,
    incident: &Incident,
    statistic: Statistic,
    pairs: &[&Pair],
    at: i64,
    noise: &Noise,
) -> f64 {
    let up = match (incident.kind, statistic) {
        (Kind::FalsePromise | Kind::ClickFraud, Statistic::Cvr) => false,
        _ => incident.kind.sort().direction == "up",
    };
    let sum = |of: &dyn Fn(&Pair) -> f64| pairs.iter().map(|p| of(p)).sum::<f64>();
    let clicks = |p: &Pair| p.with.impressions * p.with.ctr;
    let counts = |without: f64, with: f64, variance: f64| {
        let luck = UNLUCKY * (with + with * with * variance).sqrt();
        let z = |x: f64| if up { above(x, without, variance) } else { below(x, without, variance) };
        let unlucky = if up { with - luck } else { with + luck };
        beyond(z(with), z(unlucky.max(0.0)))
    };
    match statistic {
        Statistic::Impressions => {
            let free = |p: &Pair| f64::from(u8::from(!p.without.bound));
            let missing = |p: &Pair| match incident.kind {
                Kind::MissingHours if (incident.onset..incident.end).contains(&p.hour) => 0.0,
                _ => p.with.impressions,
            };
            let without = sum(&|p| free(p) * p.without.impressions);
            let with = sum(&|p| free(p) * missing(p));
            let square = sum(&|p| free(p) * p.without.impressions * p.without.impressions);
            if without <= 0.0 {
                return 0.0;
            }
            counts(without, with, noise.volume + noise.dispersion * square / (without * without))
        }
        Statistic::Ctr => {
            counts(sum(&|p| p.with.impressions * p.without.ctr), sum(&clicks), noise.ctr)
        }
        Statistic::Comments => {
            let shown = |p: &Pair| p.with.impressions * world.comment_rate(p.ad);
            counts(sum(&shown), sum(&|p| shown(p) * p.with.comments), 0.0)
        }
        Statistic::Cvr => {
            let without = sum(&|p| clicks(p) * p.without.cvr * ripe(world, p, at));
            let with = sum(&|p| clicks(p) * p.with.cvr * through(world, incident, p, at));
            counts(without, with, noise.cvr + SPLIT / without.max(0.1))
        }
        Statistic::Cpc => {
            let cost = |p: &Pair, r: &Rate| {
                clicks(p) * r.per_click + p.with.impressions * r.per_impression
            };
            let (without, with) = (sum(&|p| cost(p, &p.without)), sum(&|p| cost(p, &p.with)));
            amounts(without, with, noise.cpc + 0.09 / sum(&clicks).max(0.1), up)
        }
        Statistic::Value => {
            let made = |p: &Pair| clicks(p) * p.with.cvr * ripe(world, p, at);
            let known = |p: &Pair| made(p) * p.without.value;
            let (without, square) = (sum(&known), sum(&|p| known(p) * p.without.value));
            // Half as many as expected must still be enough.
            let few = 0.5 * without * without / square.max(1e-9);
            let unit = if incident.kind == Kind::ValueUnit { 100.0 } else { 1.0 };
            let inside = |p: &Pair| (incident.onset..incident.end).contains(&p.hour);
            let times = |p: &Pair| if inside(p) { unit } else { 1.0 };
            let with = sum(&|p| made(p) * p.with.value * times(p));
            match few < VALUES {
                true => 0.0,
                false => amounts(without, with, (noise.value + SPLIT) / few, up),
            }
        }
        Statistic::Parity => {
            let day = |p: &Pair| (incident.onset..incident.end).contains(&p.hour);
            let rows =
                sum(&|p| f64::from(u8::from(day(p))) * (1.0 - libm::exp(-p.with.impressions)));
            f64::from(u8::from(rows > 2.0 * PARITY_ROWS as f64))
        }
        Statistic::Lateness => 0.0,
    }
}

fn amounts(without: f64, with: f64, variance: f64, up: bool) -> f64 {
    let z = amount(with, without, variance) * if up { 1.0 } else { -1.0 };
    beyond(z, z - UNLUCKY)
}

/// Probability of passing [`ODD`], if the mean case is at `z` and one in a hundred below `unlucky`.
fn beyond(z: f64, unlucky: f64) -> f64 {
    let spread = ((z - unlucky) / UNLUCKY).max(0.2);
    0.5 * erfc((ODD - z) / spread / std::f64::consts::SQRT_2)
}

/// Ages older than a day are reported again only now and then.
fn ripe(world: &World, p: &Pair, at: i64) -> f64 {
    let age = at - p.hour;
    let seen = if age <= 24 { at } else { p.hour + age * 3 / 4 };
    let c = world.entities.ads[p.ad].campaign;
    world.ripe(c, p.hour, seen)
}

/// The share of an hour's conversions that is reported despite, or because of, an incident.
fn through(world: &World, incident: &Incident, p: &Pair, at: i64) -> f64 {
    let ripe = ripe(world, p, at);
    let inside = (incident.onset..incident.end).contains(&p.hour);
    match incident.kind {
        Kind::DoubleCount if inside => 2.0 * ripe,
        Kind::TrackingOutage => {
            let c = world.entities.ads[p.ad].campaign;
            let by = |t: i64| world.ripe(c, p.hour, t);
            let lost = by(at.min(incident.end).max(incident.onset)) - by(incident.onset);
            (ripe - (1.0 - incident.factor) * lost).max(0.0)
        }
        _ => ripe,
    }
}

/// Expected cost and value that an incident moves or misstates, 10^-6 of the currency.
fn money(world: &World, incident: &Incident) -> i64 {
    let until = incident.end.min(incident.onset + 30 * 24);
    let mut total = 0.0;
    for p in pairs(world, incident.scope, incident.onset, until) {
        let value = |r: &Rate| r.impressions * r.ctr * r.cvr * r.value;
        let (cost, worth) = (p.without.cost(), value(&p.without));
        total += match incident.kind {
            Kind::TrackingOutage => worth * (1.0 - incident.factor),
            Kind::FileTwice | Kind::MissingHours => cost + worth,
            Kind::DoubleCount => worth,
            Kind::ValueUnit => 99.0 * worth,
            Kind::LateExtract => cost,
            // Who reads the comments buys less often: a tenth of the value is at stake.
            Kind::BotComments => 0.1 * worth,
            _ => (p.with.cost() - cost).abs() + (value(&p.with) - worth).abs(),
        };
    }
    (total * 1e6).round() as i64
}
