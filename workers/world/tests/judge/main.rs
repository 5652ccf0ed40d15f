//! Worlds are judged before detectors: hard, and fair.
//!
//! At the middle noise an oracle that is handed the world's parameters finds the incidents that are
//! called detectable, and little else; a plain robust z finds less than half of them where nine of
//! ten of its alerts are true. Detectable was decided by power before anything was drawn.

mod oracle;
mod plain;
mod seen;

use std::collections::BTreeMap;

use seen::Seen;
use world::truth::oracle::Statistic;
use world::truth::{Incident, Kind, Scope};
use world::{Noise, Purpose, Settings, World, WorldKind};

/// Worlds of the judgement.
const WORLDS: u64 = 16;
/// Hours after an incident's end in which its traces are still in a window.
const TRACES_HOURS: i64 = 168 + 24;

/// Somebody says that something is wrong.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Where.
    pub scope: Scope,
    /// What is odd.
    pub what: &'static str,
    /// Hour of the delivery after which it was said.
    pub at: i64,
    /// How odd.
    pub score: f64,
}

fn settings(seed: u64) -> Settings {
    Settings {
        seed,
        campaigns: 48,
        days: 63,
        live_days: 28,
        deliveries_per_day: 8,
        noise: Noise::Middle,
        purpose: Purpose::Evaluation,
        begin_week: (seed * 5 % 52) as u32,
        banners: false,
        ..Settings::default()
    }
}

/// Is the alert about the incident, or its traces?
pub fn about(world: &World, alert: &Alert, incident: &Incident) -> bool {
    let (from, until) = (incident.onset, incident.end + TRACES_HOURS);
    alert.at >= from && alert.at <= until && world.meet(alert.scope, incident.scope)
}

/// Is it what the kind of incident shows in, in the right direction?
fn fits(alert: &Alert, incident: &Incident) -> bool {
    let sort = incident.kind.sort();
    let also = match incident.kind {
        Kind::FalsePromise | Kind::ClickFraud => "cvr down",
        // The morning is as odd as the afternoon.
        Kind::BudgetByNoon => "impressions up",
        _ => "",
    };
    let what = match sort.statistic {
        Statistic::Parity => "even".to_string(),
        Statistic::Lateness => "late".to_string(),
        Statistic::Value => format!("value {}", sort.direction),
        other => format!("{} {}", other.name(), sort.direction),
    };
    alert.what == what || alert.what == also
}

/// Found in time: about it, in its statistic and direction, between its onset and its deadline.
fn timely(world: &World, alerts: &[Alert], incident: &Incident) -> bool {
    let by = incident.onset + incident.kind.sort().deadline_hours;
    alerts.iter().any(|a| a.at <= by && fits(a, incident) && about(world, a, incident))
}

/// Counts of alerts and incidents.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Detectable incidents, and those of them that were found by their deadline.
    wanted: usize,
    found: usize,
    /// Incidents with an alert, and alerts about nothing.
    right: usize,
    wrong: usize,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.wanted += other.wanted;
        self.found += other.found;
        self.right += other.right;
        self.wrong += other.wrong;
    }

    fn recall(&self) -> f64 {
        self.found as f64 / self.wanted.max(1) as f64
    }

    fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }
}

/// Alerts about one campaign are one until it has been quiet for a week. `exact` asks for the right
/// statistic and direction too, of which a plain z knows nothing.
fn count(world: &World, alerts: &[Alert], exact: bool) -> (Count, Vec<Alert>) {
    let mut count = Count::default();
    let incidents = world.incidents();
    for incident in incidents {
        let heard = alerts.iter().any(|a| about(world, a, incident));
        count.right += usize::from(heard);
        count.wanted += usize::from(incident.detectable);
        let found = if exact {
            timely(world, alerts, incident)
        } else {
            let by = incident.onset + incident.kind.sort().deadline_hours;
            alerts.iter().any(|a| a.at <= by && about(world, a, incident))
        };
        count.found += usize::from(incident.detectable && found);
    }
    let mut last: BTreeMap<usize, i64> = BTreeMap::new();
    let mut wrong = vec![];
    for alert in alerts.iter().filter(|a| !incidents.iter().any(|i| about(world, a, i))) {
        let campaigns = world.campaigns_of(alert.scope);
        let heard = campaigns.iter().any(|c| last.get(c).is_some_and(|t| alert.at - t < 168));
        campaigns.iter().for_each(|c| {
            last.insert(*c, alert.at);
        });
        if !heard {
            count.wrong += 1;
            wrong.push(alert.clone());
        }
    }
    (count, wrong)
}

/// What both observers say of one world.
struct Heard {
    world: World,
    oracle: Vec<Alert>,
    plain: Vec<Alert>,
}

fn listen(settings: Settings) -> Heard {
    let world = World::new(settings, false);
    let mut seen = Seen::new(&world);
    let mut oracle = oracle::Oracle::new(&world);
    let (mut alerts, mut plain) = (vec![], vec![]);
    for n in 0..world.deliveries() {
        seen.take(&world, n);
        if n > 0 {
            alerts.extend(oracle.alerts(&world, &seen, n));
            plain.extend(plain::alerts(&world, &seen, n));
        }
    }
    Heard { world, oracle: alerts, plain }
}

/// All worlds, on all cores.
fn listen_all(all: Vec<Settings>) -> Vec<Heard> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut heard = vec![];
        loop {
            let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(settings) = all.get(i) else { return heard };
            heard.push((i, listen(*settings)));
        }
    };
    let mut heard: Vec<(usize, Heard)> = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|t| t.join().expect("a judge ends")).collect()
    });
    heard.sort_by_key(|(i, _)| *i);
    heard.into_iter().map(|(_, h)| h).collect()
}

/// By kind: incidents, detectable ones, those that the oracle found in time.
fn print_kinds(heard: &[Heard]) {
    let mut kinds: BTreeMap<Kind, [usize; 3]> = BTreeMap::new();
    for h in heard {
        for i in h.world.incidents() {
            let timely = timely(&h.world, &h.oracle, i);
            let row = kinds.entry(i.kind).or_default();
            row[0] += 1;
            row[1] += usize::from(i.detectable);
            row[2] += usize::from(i.detectable && timely);
        }
    }
    for (kind, [all, wanted, found]) in kinds {
        println!(
            "  {:18} {all:4} incidents, {wanted:4} detectable, {found:4} found",
            kind.sort().name
        );
    }
}

/// The best recall of the plain z at a precision of 0.9, over thresholds, with all metrics or one.
fn plain_recall(heard: &[Heard]) -> f64 {
    let mut choices = vec![vec![]];
    choices[0].extend(plain::METRICS.iter().map(|m| m.0));
    choices.extend(plain::METRICS.iter().map(|m| vec![m.0]));
    let mut best: f64 = 0.0;
    for metrics in choices {
        for threshold in [3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0] {
            let mut total = Count::default();
            for h in heard {
                let loud = |a: &&Alert| a.score >= threshold && metrics.contains(&a.what);
                let loud: Vec<Alert> = h.plain.iter().filter(loud).cloned().collect();
                total.add(count(&h.world, &loud, false).0);
            }
            let (precision, recall) = (total.precision(), total.recall());
            println!(
                "  plain z ≥ {threshold} of {metrics:?}: precision {precision:.3} recall {recall:.3}"
            );
            if precision >= 0.9 {
                best = best.max(recall);
            }
        }
    }
    best
}

#[test]
fn an_oracle_finds_what_is_detectable_and_a_plain_z_does_not() {
    let heard = listen_all((0..WORLDS).map(settings).collect());
    let mut oracle = Count::default();
    for h in &heard {
        let (count, wrong) = count(&h.world, &h.oracle, true);
        for a in wrong {
            println!("  seed {}: wrong {a:?}", h.world.settings().seed);
        }
        for i in h.world.incidents().iter().filter(|i| i.detectable) {
            if !timely(&h.world, &h.oracle, i) {
                println!("  seed {}: missed {i:?}", h.world.settings().seed);
            }
        }
        oracle.add(count);
    }
    print_kinds(&heard);
    println!(
        "oracle: precision {:.3} recall {:.3} {oracle:?}",
        oracle.precision(),
        oracle.recall()
    );
    let best = plain_recall(&heard);
    println!("plain z: recall {best:.3} at precision 0.9");
    assert!(oracle.wanted >= 60, "too few detectable incidents: {oracle:?}");
    assert!(oracle.recall() >= 0.95, "{oracle:?}");
    assert!(oracle.precision() >= 0.95, "{oracle:?}");
    assert!(best <= 0.5, "{best}");
}

#[test]
fn a_null_world_is_quiet_for_the_oracle() {
    let null = |seed: u64| Settings { kind: WorldKind::Null, ..settings(100 + seed) };
    let heard = listen_all((0..4).map(null).collect());
    let mut wrong = 0;
    for h in &heard {
        assert!(h.world.incidents().is_empty() && h.world.twins().len() > 20);
        wrong += count(&h.world, &h.oracle, true).0.wrong;
    }
    println!("null worlds: {wrong} alerts in {} campaign-months", heard.len() * 48 * 28 / 30);
    assert!(wrong <= 4, "{wrong} alerts about nothing");
}
