//! Benign twins: what looks like an incident and is none, each explained by a table or told apart
//! by a statistic.

use super::Scope;
use crate::creative::Change;
use crate::entities::Action;
use crate::keyed::{Draw, Stream};
use crate::lag::Lag;
use crate::rates::{Effect, Quantity};
use crate::report::WindowChange;
use crate::{World, conversions, priors};

/// A kind of benign twin: the fixed facts.
#[derive(Clone, Copy, Debug)]
pub struct TwinSort {
    /// As the truth table writes it.
    pub name: &'static str,
    /// The kind of incident it looks like.
    pub like: &'static str,
    /// The table or the statistic that tells.
    pub told_by: &'static str,
    /// What happens.
    pub about: &'static str,
}

const fn twin(
    name: &'static str,
    like: &'static str,
    told_by: &'static str,
    about: &'static str,
) -> TwinSort {
    TwinSort { name, like, told_by, about }
}

/// Every kind of benign twin.
pub const TWINS: [TwinSort; 17] = [
    twin(
        "pause",
        "ad_disapproved",
        "change_events: status",
        "Somebody pauses a campaign and later starts it again: no impressions.",
    ),
    twin(
        "launch",
        "spend_runaway",
        "change_events: created",
        "A new ad starts in a campaign: more impressions.",
    ),
    twin(
        "budget_raise",
        "spend_runaway",
        "change_events: daily_budget_micros",
        "The budget is raised, delivery follows at once.",
    ),
    twin(
        "budget_cut",
        "budget_by_noon",
        "change_events: daily_budget_micros",
        "The budget is cut: the day ends early, every day.",
    ),
    twin(
        "bid_edit",
        "bid_war",
        "change_events: bid",
        "A bid is raised or lowered: cost per click and volume move together.",
    ),
    twin(
        "targeting_edit",
        "audience_collapse",
        "change_events: targeting",
        "An audience is exchanged: the ad set's volume jumps or falls.",
    ),
    twin(
        "creative_refresh",
        "wrong_creative",
        "change_events: creative",
        "A new creative of the same brand: CTR moves, learning starts anew.",
    ),
    twin(
        "promotion",
        "spend_runaway",
        "planned_events",
        "A sale: volume and conversion rate rise, value per order falls a little.",
    ),
    twin(
        "maintenance",
        "landing_page_down",
        "planned_events",
        "The shop is closed for some planned hours: no conversions.",
    ),
    twin(
        "press",
        "bot_comments",
        "planned_events",
        "A television spot: volume and comments rise, from many different people.",
    ),
    twin(
        "holiday",
        "tracking_outage",
        "calendar",
        "A holiday in the brand's country moves volume and conversion rate.",
    ),
    twin(
        "dst_day",
        "missing_hours",
        "accounts: tz",
        "The account's day has 23 or 25 hours, so daily sums move by 4 %.",
    ),
    twin(
        "new_conversion_action",
        "double_count",
        "change_events: conversion_action",
        "A further conversion action is counted from an hour on.",
    ),
    twin(
        "attribution_change",
        "tracking_outage",
        "change_events: attribution_window",
        "The account counts by another window: a new series, not a drop.",
    ),
    twin(
        "late_conversions",
        "tracking_outage",
        "statistic: lag curve",
        "A considered purchase: the last days always look empty, and fill up.",
    ),
    twin(
        "shock",
        "spend_runaway",
        "statistic: all campaigns of the platform",
        "The whole platform, or the market, moves for some days.",
    ),
    twin(
        "evening_stop",
        "budget_by_noon",
        "campaigns: daily_budget_micros",
        "A budget that is always short: every evening is empty.",
    ),
];

/// Something that only looks wrong.
#[derive(Clone, Debug)]
pub struct Twin {
    /// One of [`TWINS`].
    pub kind: &'static str,
    /// Where.
    pub scope: Scope,
    /// First hour.
    pub from: i64,
    /// First hour after.
    pub until: i64,
}

/// An edit that somebody made.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub scope: Scope,
    pub hour: i64,
    pub field: &'static str,
    pub old: String,
    pub new: String,
}

/// Something announced.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub brand: usize,
    pub kind: &'static str,
    pub name: String,
    pub from: i64,
    pub until: i64,
    /// Hour of the announcement.
    pub announced: i64,
}

/// Twins that are placed per incident.
const PER_INCIDENT: usize = 5;
const PLACED: [&str; 12] = [
    "pause",
    "launch",
    "budget_raise",
    "bid_edit",
    "targeting_edit",
    "creative_refresh",
    "promotion",
    "maintenance",
    "budget_cut",
    "press",
    "new_conversion_action",
    "attribution_change",
];

/// Record the twins that a world has by itself, and place the others around its incidents.
pub(crate) fn place(world: &mut World) {
    natural(world);
    let base = world.climate.incident_rate * world.entities.campaigns.len() as f64;
    let base = (base.ceil() as usize).min(1_000);
    let many = (PER_INCIDENT * world.incidents.len()).max(base) + 2;
    for i in 0..many {
        let kind = PLACED[i % PLACED.len()];
        for attempt in 0..20 {
            let mut draw = Draw::new(world.settings.seed, Stream::Twin, i as u64, attempt);
            if let Some(twin) = happen(world, kind, &mut draw) {
                world.twins.push(twin);
                break;
            }
        }
    }
    world.twins.sort_by(|a, b| (a.from, a.kind, a.scope).cmp(&(b.from, b.kind, b.scope)));
    world.edits.sort_by_key(|e| e.hour);
    world.plans.sort_by_key(|p| p.from);
}

/// Holidays, clock changes, slow conversions, short budgets, shocks.
fn natural(world: &mut World) {
    let (days, hours) = (i64::from(world.settings.days), i64::from(world.settings.days) * 24);
    let mut found = vec![];
    for (b, brand) in world.entities.brands.iter().enumerate() {
        let country = crate::places::PLACES[brand.place].country;
        for holiday in world.calendar.iter().filter(|h| h.country == country) {
            let from = (holiday.date - world.settings.begin()).num_days() * 24;
            found.push(Twin { kind: "holiday", scope: Scope::Brand(b), from, until: from + 24 });
        }
    }
    for (a, account) in world.entities.accounts.iter().enumerate() {
        let clock = &world.clocks[world.entities.brands[account.brand].place];
        for (hour, _) in clock.changes(hours) {
            let from = clock.midnight(hour);
            found.push(Twin { kind: "dst_day", scope: Scope::Account(a), from, until: from + 24 });
        }
    }
    for (c, campaign) in world.entities.campaigns.iter().enumerate() {
        let scope = Scope::Campaign(c);
        if campaign.actions[0].lag.arrived(3.0) < 0.5 {
            let from = (hours - 72).max(0);
            found.push(Twin { kind: "late_conversions", scope, from, until: hours });
        }
        let mean = campaign.volume * campaign.ctr * campaign.cpc * 24.0;
        if campaign.budget < mean {
            found.push(Twin {
                kind: "evening_stop",
                scope,
                from: campaign.launch_hour,
                until: hours,
            });
        }
    }
    for p in 0..crate::PLATFORMS.len() {
        for day in 0..days {
            if world.weather.shocked(p, day).abs() > 0.2 {
                let scope = Scope::Platform(p);
                found.push(Twin { kind: "shock", scope, from: day * 24, until: day * 24 + 24 });
            }
        }
    }
    world.twins.extend(found);
}

/// Let a twin happen; `None` if this draw does not fit.
fn happen(world: &mut World, kind: &'static str, draw: &mut Draw) -> Option<Twin> {
    let hours = i64::from(world.settings.days) * 24;
    let c = draw.below(world.entities.campaigns.len());
    let (account, brand) = (world.entities.campaigns[c].account, world.entities.campaigns[c].brand);
    let ad =
        world.entities.campaigns[c].ads.start + draw.below(world.entities.campaigns[c].ads.len());
    let low = world.entities.campaigns[c].launch_hour + 72;
    let from = low + draw.below((hours - 24 - low).max(1) as usize) as i64;
    let lasts = match kind {
        "maintenance" => 3 + draw.below(8) as i64,
        "pause" | "press" => 20 + draw.below(80) as i64,
        "promotion" => 48 + draw.below(120) as i64,
        "budget_raise" | "bid_edit" | "targeting_edit" | "budget_cut" => {
            72 + draw.below(240) as i64
        }
        _ => hours,
    };
    let until = (from + lasts).min(hours);
    let scope = match kind {
        "promotion" | "maintenance" | "press" => Scope::Brand(brand),
        "attribution_change" => Scope::Account(account),
        "launch" | "creative_refresh" => Scope::Ad(ad),
        "targeting_edit" => Scope::AdSet(world.entities.ads[ad].ad_set),
        _ => Scope::Campaign(c),
    };
    if from + 12 > hours || from < 24 || busy(world, kind, scope, from, until) {
        return None;
    }
    let up = draw.chance(0.5);
    let factor = priors::EDIT.draw(draw);
    let it = Twin { kind, scope, from, until };
    match kind {
        "promotion" | "maintenance" | "press" => plan(world, &it, draw),
        "attribution_change" => attribution(world, account, from)?,
        "new_conversion_action" => new_action(world, c, from, draw)?,
        "launch" => launch(world, ad, from)?,
        _ => edit(world, &it, c, ad, if up { factor } else { 1.0 / factor }),
    }
    Some(it)
}

/// An incident, or another twin of the same place, is in the way.
fn busy(world: &World, kind: &str, scope: Scope, from: i64, until: i64) -> bool {
    let margin = 8 * 24;
    // Announced events move all campaigns of a brand and are short; they may meet incidents.
    let broken = world
        .incidents
        .iter()
        .any(|i| i.onset - margin < until && from < i.end + margin && world.meet(i.scope, scope));
    let lasting = matches!(
        kind,
        "launch" | "creative_refresh" | "attribution_change" | "new_conversion_action"
    );
    let broken = broken
        && !(lasting
            && world.incidents.iter().all(|i| {
                !world.meet(i.scope, scope) || from + margin < i.onset || from > i.end + margin
            }));
    // What lasts is new for ten days.
    let new = |from: i64, until: i64| until.min(from + 240);
    let edited = world.twins.iter().any(|t| {
        t.from - 24 < new(from, until)
            && from < new(t.from, t.until) + 24
            && world.meet(t.scope, scope)
            && PLACED.contains(&t.kind)
    });
    broken || edited
}

fn edit(world: &mut World, it: &Twin, c: usize, ad: usize, factor: f64) {
    let (from, until) = (it.from, it.until);
    let mut effects = |quantity, by: f64, narrow: Scope| {
        let mut effect = Effect::new(quantity, from..until, by);
        match narrow {
            Scope::AdSet(s) => effect.ad_set = Some(s),
            Scope::Ad(k) => effect.ad = Some(k),
            _ => {}
        }
        world.effects[c].push(effect);
    };
    let campaign = &world.entities.campaigns[c];
    let budget = |by: f64| format!("{}", (campaign.budget * by * 1e6).round() as i64);
    let large = factor.max(1.0 / factor);
    let (field, old, new) = match it.kind {
        "pause" => {
            effects(Quantity::Volume, 0.0, it.scope);
            ("status", "enabled".to_string(), "paused".to_string())
        }
        "budget_raise" => {
            effects(Quantity::Budget, large, it.scope);
            effects(Quantity::Volume, large, it.scope);
            ("daily_budget_micros", budget(1.0), budget(large))
        }
        "budget_cut" => {
            let mean = campaign.volume * campaign.ctr * campaign.cpc * 24.0;
            let by = (0.7 * mean / campaign.budget / large.sqrt()).min(0.8);
            effects(Quantity::Budget, by, it.scope);
            ("daily_budget_micros", budget(1.0), budget(by))
        }
        "bid_edit" => {
            let by = if factor > 1.0 { large.sqrt() } else { 1.0 / large.sqrt() };
            effects(Quantity::Cpc, by, it.scope);
            effects(Quantity::Volume, libm::pow(by, 1.2), it.scope);
            ("bid", "1.00".to_string(), format!("{by:.2}"))
        }
        "targeting_edit" => {
            effects(Quantity::Volume, factor, it.scope);
            ("targeting", "audience A".to_string(), "audience B".to_string())
        }
        _ => {
            let by = libm::pow(factor, 0.5).clamp(0.55, 1.8);
            effects(Quantity::Ctr, by, it.scope);
            ("creative", format!("cr-{}-0", world.entities.ads[ad].id), String::new())
        }
    };
    let (mut new, old) = (new, old);
    if it.kind == "creative_refresh" {
        let serial = world.versions.iter().filter(|v| v.ad == ad).count() + 1;
        let version = world.creative(ad, serial, Change::Refresh, from);
        new = version.id.clone();
        world.versions.push(version);
    }
    if matches!(it.kind, "creative_refresh" | "targeting_edit") {
        world.resets[c].push(from);
    }
    let back = Edit { scope: it.scope, hour: until, field, old: new.clone(), new: old.clone() };
    world.edits.push(Edit { scope: it.scope, hour: from, field, old, new });
    if it.kind != "creative_refresh" {
        world.edits.push(back);
    }
}

fn plan(world: &mut World, it: &Twin, draw: &mut Draw) {
    let Scope::Brand(brand) = it.scope else { return };
    let factor = priors::PROMOTION.draw(draw);
    let changes: &[(Quantity, f64)] = match it.kind {
        "promotion" => &[
            (Quantity::Volume, factor),
            (Quantity::Cvr, factor.sqrt()),
            (Quantity::Value, 0.85),
            (Quantity::Budget, factor),
        ],
        "press" => &[
            (Quantity::Volume, factor),
            (Quantity::Comments, 2.0 * factor),
            (Quantity::Budget, factor),
        ],
        _ => &[(Quantity::Cvr, 0.0)],
    };
    for c in world.campaigns_of(it.scope) {
        for (quantity, by) in changes {
            world.effects[c].push(Effect::new(*quantity, it.from..it.until, *by));
        }
    }
    let name = format!("{} {}", world.entities.brands[brand].name, it.kind);
    let announced = (it.from - 24 * (2 + draw.below(12) as i64)).max(0);
    world.plans.push(Plan {
        brand,
        kind: it.kind,
        name,
        from: it.from,
        until: it.until,
        announced,
    });
}

fn attribution(world: &mut World, account: usize, from: i64) -> Option<()> {
    if world.window_changes.iter().any(|w| w.account == account) {
        return None;
    }
    let of = &world.entities.accounts[account];
    let (old, window) = (of.window, 1 - of.window);
    let name = |w: usize| conversions::windows(of.platform)[w].name.to_string();
    let (scope, field) = (Scope::Account(account), "attribution_window");
    world.edits.push(Edit { scope, hour: from, field, old: name(old), new: name(window) });
    world.window_changes.push(WindowChange { account, from, window });
    Some(())
}

fn new_action(world: &mut World, c: usize, from: i64, draw: &mut Draw) -> Option<()> {
    let actions = &mut world.entities.campaigns[c].actions;
    if actions.iter().any(|a| a.kind == "signup") {
        return None;
    }
    let (share, lag) = (draw.between(0.5, 3.0), Lag::new(draw));
    actions.push(Action { kind: "signup", share, lag, worth: 0.1, from });
    let (old, new) = (String::new(), "signup".to_string());
    world.edits.push(Edit {
        scope: Scope::Campaign(c),
        hour: from,
        field: "conversion_action",
        old,
        new,
    });
    Some(())
}

fn launch(world: &mut World, ad: usize, from: i64) -> Option<()> {
    let campaign = world.entities.ads[ad].campaign;
    // The first ad carries the campaign from its launch.
    if world.entities.campaigns[campaign].ads.start == ad {
        return None;
    }
    world.entities.ads[ad].launch_hour = from;
    let (scope, field) = (Scope::Ad(ad), "created");
    world.edits.push(Edit { scope, hour: from, field, old: String::new(), new: "enabled".into() });
    Some(())
}
