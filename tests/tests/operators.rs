//! The engine's operators against plain loops: random changes with retractions, several entries
//! under way at once, one and two threads, two and three processes. Every committed time is
//! compared.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use engine::execute::{Cluster, Event, Job, execute, feed};
use engine::plan::{
    Aggregate, AggregateKind, JoinKind, Mode, Node, NodeId, Operator, Output, Plan, Source, Upsert,
};
use engine::ports::{Entry, SourceFile};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidewatch_tests::{Capture, Files, budget};

/// (k, v, s)
type Row = (Option<i64>, Option<i64>, Option<String>);
type Cells = Vec<Option<String>>;
/// (version, admitted, path, row number, row)
type Version = (Option<i64>, u64, String, usize, Row);

fn schema(names: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        names.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>(),
    ))
}

fn facts() -> SchemaRef {
    schema(&[("k", DataType::Int64), ("v", DataType::Int64), ("s", DataType::Utf8)])
}

/// Rows as a file of a `changes` source.
fn file(rows: &[(Row, i64)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.0.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.0.2.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
    ];
    let all = schema(&[
        ("k", DataType::Int64),
        ("v", DataType::Int64),
        ("s", DataType::Utf8),
        ("_diff", DataType::Int64),
    ]);
    RecordBatch::try_new(all, columns).expect("columns fit")
}

fn push(
    plan: &mut Plan,
    view: &str,
    operator: Operator,
    inputs: &[NodeId],
    s: SchemaRef,
) -> NodeId {
    let node = Node { operator, inputs: inputs.to_vec(), schema: s, view: view.into() };
    plan.push(node).expect("the test's plan is valid")
}

fn aggregate(name: &str, function: AggregateKind, args: &[usize], output: DataType) -> Aggregate {
    Aggregate { name: name.into(), function, args: args.to_vec(), filter: None, output }
}

/// One dataflow with every stateful operator over two sources.
fn plan() -> Plan {
    let mut p = Plan::default();
    let source = |name: &str, mode| {
        let unique = (name == "q").then(|| vec![0]);
        Operator::Source(Source { name: name.into(), mode, history: false, unique })
    };
    let a = push(&mut p, "a", source("a", Mode::Changes { diff: 3 }), &[], facts());
    let b = push(&mut p, "b", source("b", Mode::Replace), &[], facts());
    let upsert = Mode::Upsert(Upsert { key: vec![0], version: Some(1), deleted: None });
    let u = push(&mut p, "u", source("u", upsert), &[], facts());
    let q = push(&mut p, "q", source("q", Mode::Replace), &[], facts());
    let sums = || {
        vec![
            aggregate("n", AggregateKind::Count, &[], DataType::Int64),
            aggregate("nv", AggregateKind::Count, &[1], DataType::Int64),
            aggregate("sv", AggregateKind::Sum, &[1], DataType::Int64),
        ]
    };
    let named = |keys: &[(&str, DataType)]| {
        let sums = ["n", "nv", "sv"].map(|n| (n, DataType::Int64));
        schema(&keys.iter().cloned().chain(sums).collect::<Vec<_>>())
    };
    let by_k = push(
        &mut p,
        "by_k",
        Operator::Aggregate { keys: vec![0], aggregates: sums() },
        &[a],
        named(&[("k", DataType::Int64)]),
    );
    let total = push(
        &mut p,
        "total",
        Operator::Aggregate { keys: vec![], aggregates: sums() },
        &[a],
        named(&[]),
    );
    let both = push(&mut p, "both", Operator::Union, &[a, b], facts());
    let distinct = push(&mut p, "distinct", Operator::Distinct, &[both], facts());
    let wide = schema(&[
        ("k", DataType::Int64),
        ("v", DataType::Int64),
        ("s", DataType::Utf8),
        ("k2", DataType::Int64),
        ("v2", DataType::Int64),
        ("s2", DataType::Utf8),
    ]);
    let on = vec![(0, 0), (2, 2)];
    let join = |kind, null_equals_null| Operator::Join { kind, on: on.clone(), null_equals_null };
    let inner = push(&mut p, "inner", join(JoinKind::Inner, true), &[a, b], wide.clone());
    let left = push(&mut p, "left", join(JoinKind::Left, false), &[a, b], wide);
    for (view, node) in [
        ("by_k", by_k),
        ("total", total),
        ("distinct", distinct),
        ("inner", inner),
        ("left", left),
        ("u", u),
        ("q", q),
    ] {
        p.output(Output { view: view.into(), node, time_column: None }).expect("node exists");
    }
    p
}

/// What every source holds, in plain terms.
#[derive(Clone, Default)]
struct World {
    a: BTreeMap<Row, i64>,
    /// By admitting time and path, as `q`.
    b: BTreeMap<(u64, String), Vec<Row>>,
    u: BTreeMap<Option<i64>, Version>,
    q: BTreeMap<(u64, String), Vec<Row>>,
}

fn text(v: Option<i64>) -> Option<String> {
    v.map(|v| v.to_string())
}

fn cells(r: &Row) -> Cells {
    vec![text(r.0), text(r.1), r.2.clone()]
}

impl World {
    fn a_rows(&self) -> Vec<Row> {
        self.a.iter().flat_map(|(r, n)| std::iter::repeat_n(r.clone(), *n as usize)).collect()
    }

    fn sums<'a>(rows: impl Iterator<Item = &'a Row>) -> Cells {
        let (mut n, mut nv, mut sv) = (0, 0, 0);
        for row in rows {
            n += 1;
            nv += i64::from(row.1.is_some());
            sv += row.1.unwrap_or(0);
        }
        vec![text(Some(n)), text(Some(nv)), text((nv > 0).then_some(sv))]
    }

    fn meaning(&self, view: &str) -> Vec<Cells> {
        let a = self.a_rows();
        let b: Vec<Row> = self.b.values().flatten().cloned().collect();
        let mut rows: Vec<Cells> = match view {
            "by_k" => {
                let mut keys: Vec<Option<i64>> = a.iter().map(|r| r.0).collect();
                keys.sort();
                keys.dedup();
                let group = |k: &Option<i64>| {
                    let mut row = vec![text(*k)];
                    row.extend(World::sums(a.iter().filter(|r| r.0 == *k)));
                    row
                };
                keys.iter().map(group).collect()
            }
            "total" => vec![World::sums(a.iter())],
            "distinct" => {
                let mut all: Vec<Cells> = a.iter().chain(&b).map(cells).collect();
                all.sort();
                all.dedup();
                all
            }
            "u" => self.u.values().map(|w| cells(&w.4)).collect(),
            "q" => {
                let mut first = BTreeMap::new();
                for row in self.q.values().flatten() {
                    first.entry(row.0).or_insert_with(|| cells(row));
                }
                first.into_values().collect()
            }
            _ => {
                let mut out = vec![];
                for l in &a {
                    let nulls = view == "inner" || (l.0.is_some() && l.2.is_some());
                    let hits: Vec<&Row> =
                        b.iter().filter(|r| nulls && r.0 == l.0 && r.2 == l.2).collect();
                    out.extend(hits.iter().map(|r| [cells(l), cells(r)].concat()));
                    if view == "left" && hits.is_empty() {
                        out.push([cells(l), vec![None; 3]].concat());
                    }
                }
                out
            }
        };
        rows.sort();
        rows
    }
}

fn random_row(rng: &mut StdRng) -> Row {
    let letter = |n: u32| ["", "a", "b", "ü"][n as usize].to_string();
    (
        rng.random_bool(0.9).then(|| rng.random_range(0..6)),
        rng.random_bool(0.8).then(|| rng.random_range(-5..9)),
        rng.random_bool(0.8).then(|| letter(rng.random_range(0..4))),
    )
}

/// Change the world at `time`; the entry that says so.
fn change(
    world: &mut World,
    files: &Files,
    live: &mut Vec<SourceFile>,
    time: u64,
    rng: &mut StdRng,
) -> Entry {
    let (mut added, mut gone) = (vec![], vec![]);
    let mut add =
        |source: &str, path: String, batches: Vec<RecordBatch>, live: &mut Vec<SourceFile>| {
            let etag = time.to_string();
            files.put(source, &path, &etag, batches);
            let new = SourceFile {
                source: source.into(),
                path,
                etag,
                size: 1,
                admitted: time,
                admitted_clock_us: 0,
            };
            live.push(new.clone());
            added.push(new);
        };
    for part in 0..rng.random_range(0..3) {
        let mut changes = vec![];
        for _ in 0..rng.random_range(0..12) {
            let held: Vec<Row> = world.a.keys().cloned().collect();
            if !held.is_empty() && rng.random_bool(0.4) {
                let row = held[rng.random_range(0..held.len())].clone();
                let n = world.a.get_mut(&row).expect("held");
                *n -= 1;
                if *n == 0 {
                    world.a.remove(&row);
                }
                changes.push((row, -1));
            } else {
                let (row, n) = (random_row(rng), rng.random_range(1..3));
                *world.a.entry(row.clone()).or_default() += n;
                changes.push((row, n));
            }
        }
        let half = changes.len() / 2;
        let batches = vec![file(&changes[..half]), file(&changes[half..])];
        add("a", format!("{time}-{part}"), batches, live);
    }
    for (source, path) in ["b", "q"].into_iter().flat_map(|s| ["x", "y", "z"].map(|p| (s, p))) {
        if !rng.random_bool(0.3) {
            continue;
        }
        let held = if source == "b" { &mut world.b } else { &mut world.q };
        if let Some(i) = live.iter().position(|f| f.source == source && f.path == path) {
            let old = live.remove(i);
            held.remove(&(old.admitted, path.into()));
            gone.push(old);
        }
        if rng.random_bool(0.8) {
            let rows: Vec<Row> = (0..rng.random_range(0..6)).map(|_| random_row(rng)).collect();
            let plain = file(&rows.iter().map(|r| (r.clone(), 1)).collect::<Vec<_>>());
            held.insert((time, path.into()), rows);
            let plain = plain.project(&[0, 1, 2]).expect("three columns");
            add(source, path.into(), vec![plain], live);
        }
    }
    if rng.random_bool(0.7) {
        let rows: Vec<Row> = (0..rng.random_range(0..9)).map(|_| random_row(rng)).collect();
        let path = format!("u{time}");
        for (i, row) in rows.iter().enumerate() {
            let new = (row.1, time, path.clone(), i, row.clone());
            let old = world.u.get(&row.0);
            let rank = |w: &Version| (w.0, w.1, w.2.clone(), w.3);
            if old.is_none_or(|o| rank(o) < rank(&new)) {
                world.u.insert(row.0, new);
            }
        }
        let plain = file(&rows.iter().map(|r| (r.clone(), 1)).collect::<Vec<_>>());
        add("u", path, vec![plain.project(&[0, 1, 2]).expect("three columns")], live);
    }
    Entry::files(time, added, gone)
}

fn held(capture: &Capture, view: &str, time: u64) -> Vec<Cells> {
    let batch = capture.rows(view, time);
    let cell = |c: &ArrayRef, i: usize| match c.as_string_opt::<i32>() {
        _ if c.is_null(i) => None,
        Some(s) => Some(s.value(i).to_string()),
        None => Some(c.as_primitive::<Int64Type>().value(i).to_string()),
    };
    let mut rows: Vec<Cells> = (0..batch.num_rows())
        .map(|i| batch.columns().iter().map(|c| cell(c, i)).collect())
        .collect();
    rows.sort();
    rows
}

const VIEWS: [&str; 7] = ["by_k", "total", "distinct", "inner", "left", "u", "q"];

/// Run `times` entries, up to `burst` under way at once, and compare at every committed time.
fn follow(seed: u64, clusters: Vec<Cluster>, times: u64, burst: u64) {
    let (files, capture) = (Files::at_random_pace(seed), Capture::default());
    let job = Job {
        plan: plan(),
        reader: Arc::new(files.clone()),
        sink: Arc::new(capture.clone()),
        epoch: 5,
        budget: budget(seed),
    };
    let (commits, committed) = mpsc::channel();
    let (feed, entries) = feed();
    let mut entries = Some(entries);
    let mut threads = vec![];
    for cluster in clusters {
        let (job, commits) = (job.clone(), commits.clone());
        let entries = entries.take_if(|_| cluster.process == 0);
        threads.push(std::thread::spawn(move || {
            let tell = move |Event::Committed { time, .. }| commits.send(time).unwrap_or(());
            execute(&cluster, job, entries, tell).expect("the run ends well");
        }));
    }
    drop(commits);
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut world, mut live, mut time) = (World::default(), vec![], 5);
    // What the sources held at each time.
    let mut worlds: BTreeMap<u64, World> = BTreeMap::new();
    while time < 5 + times {
        let last = (time + rng.random_range(0..burst)).min(4 + times);
        for t in time..=last {
            assert!(feed.send(change(&mut world, &files, &mut live, t, &mut rng)));
            worlds.insert(t, world.clone());
        }
        while committed.recv().expect("commits follow entries") < last {}
        for t in capture.times().into_iter().filter(|t| *t >= time) {
            for view in VIEWS {
                let want = worlds[&t].meaning(view);
                assert_eq!(held(&capture, view, t), want, "seed {seed} time {t} {view}");
            }
            // Every row of q counts or is a fault.
            let q = worlds[&t].q.values().map(Vec::len).sum::<usize>();
            let faults = q - worlds[&t].meaning("q").len();
            assert_eq!(held(&capture, "faults", t).len(), faults, "seed {seed} time {t} faults");
        }
        time = last + 1;
    }
    drop(feed);
    threads.into_iter().for_each(|t| t.join().expect("no worker panics"));
}

#[test]
fn views_equal_plain_loops_on_one_thread() {
    (0..20).for_each(|seed| follow(seed, vec![Cluster::threads(1)], 12, 3));
}

#[test]
fn views_equal_plain_loops_on_two_threads() {
    (100..115).for_each(|seed| follow(seed, vec![Cluster::threads(2)], 12, 4));
}

#[test]
fn views_equal_plain_loops_on_two_and_three_processes() {
    for (seed, processes) in [(200, 2), (201, 3), (202, 2), (203, 3)] {
        let ports: Vec<_> = (0..processes)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let hosts: Vec<String> =
            ports.iter().map(|p| p.local_addr().expect("bound").to_string()).collect();
        drop(ports);
        let cluster = |process| Cluster { threads: 1, process, hosts: hosts.clone() };
        follow(seed, (0..processes).map(cluster).collect(), 8, 3);
    }
}
