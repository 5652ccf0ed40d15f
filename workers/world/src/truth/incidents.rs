//! Incidents: what breaks, where, when, and by how much.

use std::ops::Range;

use super::Scope;
use super::oracle::Statistic;
use crate::conversions::Outage;
use crate::creative::{Change, Version};
use crate::keyed::{Draw, Stream};
use crate::rates::{Effect, KNOWN, Quantity, Rate};
use crate::report::{Fault, Mistake};
use crate::schedule::Late;
use crate::{World, WorldKind, priors};

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each kind is described in KINDS")]
pub enum Kind {
    SpendRunaway,
    TrackingOutage,
    ClickFraud,
    CreativeFatigue,
    WrongCreative,
    FalsePromise,
    BudgetByNoon,
    BidWar,
    LandingPageDown,
    AdDisapproved,
    AudienceCollapse,
    BotComments,
    WrongPrices,
    FileTwice,
    MissingHours,
    DoubleCount,
    ValueUnit,
    LateExtract,
}

/// Where a kind of incident sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    Platform,
    Account,
    Campaign,
    AdSet,
    Ad,
}

impl Level {
    /// As the truth table writes it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Platform => "platform",
            Level::Account => "account",
            Level::Campaign => "campaign",
            Level::AdSet => "ad_set",
            Level::Ad => "ad",
        }
    }
}

/// A kind of incident: the fixed facts.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// The kind.
    pub kind: Kind,
    /// As the truth table writes it.
    pub name: &'static str,
    /// Where it sits.
    pub level: Level,
    /// What shows it best.
    pub statistic: Statistic,
    /// `up` or `down`.
    pub direction: &'static str,
    /// Hours after the onset by which it should be known.
    pub deadline_hours: i64,
    /// Hours it lasts, from and to.
    pub lasts: (i64, i64),
    /// What happens.
    pub about: &'static str,
}

const fn sort(
    kind: Kind,
    name: &'static str,
    (level, statistic, direction): (Level, Statistic, &'static str),
    deadline_hours: i64,
    lasts: (i64, i64),
    about: &'static str,
) -> Sort {
    Sort { kind, name, level, statistic, direction, deadline_hours, lasts, about }
}

use Level as L;
use Statistic as S;

/// Every kind of incident. Deadlines were fixed before any detector.
pub const KINDS: [Sort; 18] = [
    sort(
        Kind::SpendRunaway,
        "spend_runaway",
        (L::Campaign, S::Impressions, "up"),
        6,
        (8, 72),
        "The daily cap is lost: volume and cost jump and the budget no longer stops them. No edit explains it.",
    ),
    sort(
        Kind::TrackingOutage,
        "tracking_outage",
        (L::Account, S::Cvr, "down"),
        24,
        (18, 96),
        "A pixel stops firing: conversions that happen meanwhile are never reported, whenever their click was. The shop's orders go on.",
    ),
    sort(
        Kind::ClickFraud,
        "click_fraud",
        (L::AdSet, S::Ctr, "up"),
        24,
        (36, 120),
        "Clicks multiply in one ad set, conversions do not.",
    ),
    sort(
        Kind::CreativeFatigue,
        "creative_fatigue",
        (L::Ad, S::Ctr, "down"),
        168,
        (240, 480),
        "An ad's CTR decays over a week, far below its ordinary wear.",
    ),
    sort(
        Kind::WrongCreative,
        "wrong_creative",
        (L::Ad, S::Ctr, "down"),
        48,
        (48, 168),
        "Another brand's creative runs in an ad: CTR and CVR fall, and picture and words do not fit.",
    ),
    sort(
        Kind::FalsePromise,
        "false_promise",
        (L::Ad, S::Ctr, "up"),
        72,
        (72, 240),
        "The copy promises what the brand never sells: CTR rises, CVR collapses.",
    ),
    sort(
        Kind::BudgetByNoon,
        "budget_by_noon",
        (L::Campaign, S::Impressions, "down"),
        48,
        (72, 168),
        "The morning is delivered several times too fast, the budget is gone by noon, the afternoon is empty.",
    ),
    sort(
        Kind::BidWar,
        "bid_war",
        (L::Campaign, S::Cpc, "up"),
        48,
        (72, 240),
        "A competitor arrives: cost per click rises, volume falls.",
    ),
    sort(
        Kind::LandingPageDown,
        "landing_page_down",
        (L::Campaign, S::Cvr, "down"),
        24,
        (18, 72),
        "The page does not load: clicks go on and are paid, conversions stop.",
    ),
    sort(
        Kind::AdDisapproved,
        "ad_disapproved",
        (L::Ad, S::Impressions, "down"),
        24,
        (24, 120),
        "The platform rejects an ad: it is no longer shown. Nobody edited it.",
    ),
    sort(
        Kind::AudienceCollapse,
        "audience_collapse",
        (L::AdSet, S::Impressions, "down"),
        48,
        (72, 240),
        "An audience list expires: the ad set reaches a fraction.",
    ),
    sort(
        Kind::BotComments,
        "bot_comments",
        (L::Ad, S::Comments, "up"),
        24,
        (24, 72),
        "Bots flood an ad with a few repeated comments.",
    ),
    sort(
        Kind::WrongPrices,
        "wrong_prices",
        (L::Account, S::Value, "down"),
        48,
        (24, 96),
        "The product feed has wrong prices: value per conversion falls to a fraction in the whole account.",
    ),
    sort(
        Kind::FileTwice,
        "file_twice",
        (L::Account, S::Parity, "up"),
        24,
        (24, 24),
        "Data: a day of an account was added up twice; every number of it is double, until it is corrected.",
    ),
    sort(
        Kind::MissingHours,
        "missing_hours",
        (L::Account, S::Impressions, "down"),
        24,
        (8, 18),
        "Data: hours of an account are missing although the platform delivered them; they come days later.",
    ),
    sort(
        Kind::DoubleCount,
        "double_count",
        (L::Account, S::Cvr, "up"),
        72,
        (48, 120),
        "Data: conversions are counted twice, by tag and by server; delivery is right.",
    ),
    sort(
        Kind::ValueUnit,
        "value_unit",
        (L::Account, S::Value, "up"),
        24,
        (24, 96),
        "Data: values arrive in hundredths, a hundred times too large.",
    ),
    sort(
        Kind::LateExtract,
        "late_extract",
        (L::Platform, S::Lateness, "up"),
        12,
        (12, 36),
        "Data: a platform's extract does not come; then everything comes at once.",
    ),
];

impl Kind {
    /// Its fixed facts.
    pub fn sort(self) -> &'static Sort {
        KINDS.iter().find(|s| s.kind == self).expect("every kind is listed")
    }
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Number in the world.
    pub id: usize,
    /// What.
    pub kind: Kind,
    /// Where.
    pub scope: Scope,
    /// First hour.
    pub onset: i64,
    /// First hour after.
    pub end: i64,
    /// How much, as the kind's prior says.
    pub factor: f64,
    /// Expected cost and value that it moves, 10^-6 of the account's currency.
    pub money_micros: i64,
    /// Probability that an observer who knows the world's parameters finds it by its deadline.
    pub power: f64,
    /// That probability is at least 0.99.
    pub detectable: bool,
}

/// Days after the launch before which nothing breaks, and between two incidents of a campaign.
const QUIET_DAYS: i64 = 7;

/// Incidents of the largest worlds.
const INCIDENTS_MAX: usize = 600;

/// Place the incidents of a world. Power and money come later, when the twins are placed too.
pub(crate) fn place(world: &mut World) {
    if world.settings.kind == WorldKind::Null || world.entities.campaigns.is_empty() {
        return;
    }
    let mut draw = Draw::new(world.settings.seed, Stream::Incident, 0, 0);
    let live_days = f64::from(world.settings.live_days.min(world.settings.days));
    let span = if live_days >= 14.0 { live_days } else { f64::from(world.settings.days) };
    let many = world.climate.incident_rate * world.entities.campaigns.len() as f64 * span / 30.0;
    let many = (many.round() as usize).clamp(1, INCIDENTS_MAX);
    let offset = draw.below(KINDS.len());
    for i in 0..many {
        // Each kind in turn; 7 is coprime to their number, so neighbours in the list are apart.
        let sort = &KINDS[(offset + i * 7) % KINDS.len()];
        let seed = world.settings.seed;
        let happened = (0..30).find_map(|attempt| {
            let mut draw = Draw::new(seed, Stream::Incident, 1 + i as u64, attempt);
            happen(world, sort, &mut draw)
        });
        world.incidents.extend(happened);
    }
    world.incidents.sort_by_key(|i| (i.onset, i.kind));
    world.incidents.iter_mut().enumerate().for_each(|(n, i)| i.id = n);
}

/// Let an incident of a kind happen; `None` if this draw does not fit.
fn happen(world: &mut World, sort: &Sort, draw: &mut Draw) -> Option<Incident> {
    let (scope, hours) = spot(world, sort, draw)?;
    let factor = strike(world, sort.kind, scope, hours.clone(), draw)?;
    let (id, onset, end) = (world.incidents.len(), hours.start, hours.end);
    let (money_micros, power, detectable) = (0, 0.0, false);
    let kind = sort.kind;
    Some(Incident { id, kind, scope, onset, end, factor, money_micros, power, detectable })
}

/// Where and when an incident can be; `None` if this draw does not fit.
fn spot(world: &World, sort: &Sort, draw: &mut Draw) -> Option<(Scope, Range<i64>)> {
    let hours = i64::from(world.settings.days) * 24;
    let live = world.history_days() * 24;
    let data = matches!(
        sort.kind,
        Kind::FileTwice
            | Kind::MissingHours
            | Kind::DoubleCount
            | Kind::ValueUnit
            | Kind::LateExtract
    );
    let low =
        if world.settings.live_days >= 14 || data { live + 12 } else { (14 * 24).min(hours / 3) };
    let mut onset = low + draw.below((hours - 36 - low).max(1) as usize) as i64;
    let mut lasts = sort.lasts.0 + draw.below((sort.lasts.1 - sort.lasts.0 + 1) as usize) as i64;
    // The largest of some: otherwise most of what breaks is too small to be seen by anybody, above
    // all what shows in clicks and conversions.
    let e = &world.entities;
    let (some, weight): (usize, fn(&crate::entities::Campaign) -> f64) = match sort.statistic {
        Statistic::Ctr => (16, |c| c.volume * c.ctr),
        Statistic::Cvr | Statistic::Value => (32, |c| c.volume * c.ctr * c.cvr),
        Statistic::Comments => (16, |c| c.volume),
        _ => (2, |c| c.volume),
    };
    let some: Vec<usize> =
        (0..1 + draw.below(some)).map(|_| draw.below(e.campaigns.len())).collect();
    let size = |c: &usize| weight(&e.campaigns[*c]);
    let c = some.into_iter().max_by(|a, b| size(a).total_cmp(&size(b)))?;
    let campaign = &e.campaigns[c];
    let ad = campaign.ads.start + draw.below(campaign.ads.len());
    let scope = match sort.level {
        Level::Platform => Scope::Platform(campaign.platform),
        Level::Account => Scope::Account(campaign.account),
        Level::Campaign => Scope::Campaign(c),
        Level::AdSet => Scope::AdSet(e.ads[ad].ad_set),
        Level::Ad => Scope::Ad(ad),
    };
    match sort.kind {
        Kind::FileTwice => {
            // A whole UTC day, as files hold them.
            onset = onset.div_euclid(24) * 24;
            lasts = 24;
        }
        Kind::BotComments if campaign.platform == 0 => return None,
        Kind::WrongCreative if e.brands.len() < 2 => return None,
        Kind::LateExtract => {
            let n = (1..world.deliveries()).find(|n| world.delivered_hour(*n) >= onset)?;
            onset = world.delivered_hour(n);
        }
        _ => {}
    }
    let range = onset..(onset + lasts).min(hours);
    let quiet = QUIET_DAYS * 24;
    if onset < campaign.launch_hour + quiet || range.end <= range.start {
        return None;
    }
    let clash = world.incidents.iter().any(|i| {
        i.onset < range.end + quiet && range.start < i.end + quiet && world.meet(i.scope, scope)
    });
    (!clash).then_some((scope, range))
}

/// Let it happen. Its factor; `None` if it cannot happen there.
fn strike(
    world: &mut World,
    kind: Kind,
    scope: Scope,
    hours: Range<i64>,
    draw: &mut Draw,
) -> Option<f64> {
    let (from, until) = (hours.start, hours.end);
    let account = match scope {
        Scope::Account(a) => a,
        _ => 0,
    };
    let (factor, changes): (f64, Vec<(Quantity, f64)>) = changes(kind, draw);
    let mut factor = factor;
    match kind {
        Kind::TrackingOutage => {
            world.outages.push(Outage { account, from, until, through: factor })
        }
        Kind::FileTwice | Kind::MissingHours | Kind::DoubleCount | Kind::ValueUnit => {
            let mistake = match kind {
                Kind::FileTwice => Mistake::Twice,
                Kind::MissingHours => Mistake::Missing,
                Kind::DoubleCount => Mistake::DoubleCount,
                _ => Mistake::Unit,
            };
            let corrected = until + 48 + draw.below(72) as i64;
            world.faults.push(Fault { mistake, account, from, until, corrected });
        }
        Kind::LateExtract => {
            let Scope::Platform(platform) = scope else { return None };
            world.lates.push(Late { platform, from, until });
        }
        Kind::BudgetByNoon => {
            let Scope::Campaign(c) = scope else { return None };
            factor = factor.max(front_load(world, c, from)?);
            let mut morning = Effect::new(Quantity::Volume, hours, factor);
            (morning.before_hour, morning.incident) = (12, true);
            world.effects[c].push(morning);
        }
        Kind::WrongCreative | Kind::FalsePromise => {
            let Scope::Ad(k) = scope else { return None };
            let change = if kind == Kind::WrongCreative { Change::Wrong } else { Change::Promise };
            swap(world, k, change, from, until);
        }
        _ => {}
    }
    for (quantity, by) in changes {
        let mut effect = Effect::new(quantity, from..until, by);
        effect.incident = true;
        if kind == Kind::CreativeFatigue {
            effect.ramp = 120 + draw.below(96) as i64;
        }
        match scope {
            Scope::Ad(k) => effect.ad = Some(k),
            Scope::AdSet(s) => effect.ad_set = Some(s),
            _ => {}
        }
        for c in world.campaigns_of(scope) {
            world.effects[c].push(effect);
        }
    }
    Some(factor)
}

/// An incident's factor, and what it does to the rates.
pub(crate) fn changes(kind: Kind, draw: &mut Draw) -> (f64, Vec<(Quantity, f64)>) {
    use Quantity as Q;
    let mut of = |p: &priors::Prior| p.draw(draw);
    match kind {
        Kind::SpendRunaway => {
            let f = of(&priors::RUNAWAY);
            (f, vec![(Q::Volume, f), (Q::Budget, 1e6)])
        }
        Kind::TrackingOutage => (of(&priors::OUTAGE), vec![]),
        Kind::ClickFraud => {
            let f = of(&priors::FRAUD);
            (f, vec![(Q::Ctr, f), (Q::Cvr, 1.0 / f)])
        }
        Kind::CreativeFatigue => {
            let f = of(&priors::FATIGUE);
            (f, vec![(Q::Ctr, f)])
        }
        Kind::WrongCreative => {
            let f = of(&priors::WRONG_CREATIVE);
            (f, vec![(Q::Ctr, f), (Q::Cvr, f)])
        }
        Kind::FalsePromise => {
            let f = of(&priors::FALSE_PROMISE);
            (f, vec![(Q::Ctr, f), (Q::Cvr, draw.between(0.15, 0.45))])
        }
        Kind::BudgetByNoon => (of(&priors::FRONTLOAD), vec![]),
        Kind::BidWar => {
            let f = of(&priors::BID_WAR);
            (f, vec![(Q::Cpc, f), (Q::Volume, 1.0 / f.sqrt())])
        }
        Kind::LandingPageDown => {
            let f = of(&priors::PAGE_DOWN);
            (f, vec![(Q::Cvr, f)])
        }
        Kind::AdDisapproved => (0.0, vec![(Q::Volume, 0.0)]),
        Kind::AudienceCollapse => {
            let f = of(&priors::COLLAPSE);
            (f, vec![(Q::Volume, f)])
        }
        Kind::BotComments => {
            let f = of(&priors::BOTS);
            (f, vec![(Q::Comments, f)])
        }
        Kind::WrongPrices => {
            let f = of(&priors::PRICES);
            (1.0 / f, vec![(Q::Value, 1.0 / f)])
        }
        Kind::FileTwice | Kind::DoubleCount => (2.0, vec![]),
        Kind::MissingHours => (0.0, vec![]),
        Kind::ValueUnit => (100.0, vec![]),
        Kind::LateExtract => (1.0, vec![]),
    }
}

/// The pace at which the morning spends the whole budget; `None` if that is out of proportion.
fn front_load(world: &World, c: usize, from: i64) -> Option<f64> {
    let campaign = &world.entities.campaigns[c];
    let clock = &world.clocks[campaign.place];
    let day = from.div_euclid(24) + 1;
    let rates = world.day_rates(c, day, KNOWN);
    let morning: f64 = rates
        .chunks(campaign.ads.len())
        .enumerate()
        .filter(|(h, _)| clock.of_day(day * 24 + *h as i64) < 12)
        .map(|(_, ads)| ads.iter().map(Rate::cost).sum::<f64>())
        .sum();
    let pace = 1.15 * campaign.budget / morning;
    (morning > 0.0 && pace < 9.0).then_some(pace)
}

/// Another creative runs from `from`, the old one again from `until`.
fn swap(world: &mut World, k: usize, change: Change, from: i64, until: i64) {
    let serial = world.versions.iter().filter(|v| v.ad == k).count() + 1;
    let wrong = world.creative(k, serial, change, from);
    let back = Version {
        from: until,
        id: format!("cr-{}-{}", world.entities.ads[k].id, serial + 1),
        ..world.creative(k, 0, Change::Refresh, until)
    };
    world.versions.extend([wrong, back]);
}
