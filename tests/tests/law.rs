//! The law: what is maintained equals batch SQL over the accumulated input, at every committed
//! time. Random rows with nulls, duplicates, NaN and −0, random retractions, batch splits and
//! schedules (several times under way at once, workers out of step), one and two threads, two and
//! three processes.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use engine::execute::{Cluster, Event, Job, execute, feed};
use engine::ports::{Entry, SourceFile};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::normal::normalize;
use sql::{Catalog, Oracle, compare, lower, parse};
use tidewatch_tests::{Capture, Files, budget};

const SOURCES: &str = "
CREATE SOURCE t (k BIGINT, v BIGINT, s VARCHAR, d DECIMAL(18,4), f DOUBLE, h TIMESTAMP,
    _diff BIGINT NOT NULL) WITH (location = 't/', mode = 'changes');
CREATE SOURCE u (k BIGINT, v BIGINT, s VARCHAR, d DECIMAL(18,4), f DOUBLE, h TIMESTAMP,
    _diff BIGINT NOT NULL) WITH (location = 'u/', mode = 'changes');
";

/// One view per line: `name: query`.
const VIEWS: &str = include_str!("law.sql");

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    k: Option<i64>,
    v: Option<i64>,
    s: Option<String>,
    d: Option<i128>,
    f: Option<u64>,
    h: Option<i64>,
}

fn random_row(rng: &mut StdRng) -> Row {
    let floats = [0.0, -0.0, f64::NAN, 1.5, -2.25, 1e16, 0.1, 0.2, 0.3];
    Row {
        k: rng.random_bool(0.9).then(|| rng.random_range(-2..5)),
        v: rng.random_bool(0.85).then(|| rng.random_range(-20..40)),
        s: rng
            .random_bool(0.85)
            .then(|| ["a", "bb", "", "ünï"][rng.random_range(0..4usize)].into()),
        d: rng.random_bool(0.9).then(|| rng.random_range(-1_000_000..1_000_000)),
        f: rng.random_bool(0.9).then(|| floats[rng.random_range(0..floats.len())].to_bits()),
        h: rng.random_bool(0.92).then(|| rng.random_range(0..60) * 3_600_000_000),
    }
}

fn schema() -> SchemaRef {
    let field = |n: &str, t: DataType| Field::new(n, t, true);
    Arc::new(Schema::new(vec![
        field("k", DataType::Int64),
        field("v", DataType::Int64),
        field("s", DataType::Utf8),
        field("d", DataType::Decimal128(18, 4)),
        field("f", DataType::Float64),
        field("h", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("_diff", DataType::Int64),
    ]))
}

fn batch(rows: &[(Row, i64)]) -> RecordBatch {
    let decimals = rows.iter().map(|r| r.0.d).collect::<Decimal128Array>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0.k).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.0.v).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.0.s.clone()).collect::<StringArray>()),
        Arc::new(decimals.with_precision_and_scale(18, 4).expect("a valid decimal")),
        Arc::new(rows.iter().map(|r| r.0.f.map(f64::from_bits)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.0.h).collect::<TimestampMicrosecondArray>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
    ];
    let columns = columns.iter().map(|c| normalize(c).expect("normal")).collect();
    RecordBatch::try_new(schema(), columns).expect("columns fit")
}

/// The first time, and how many changes it brings to `t`.
const FIRST: u64 = 3;
const LOAD_ROWS: usize = 900;

/// Accumulated rows per source.
type World = BTreeMap<&'static str, BTreeMap<Row, i64>>;

fn change(world: &mut World, files: &Files, time: u64, size: usize, rng: &mut StdRng) -> Entry {
    let mut added = vec![];
    for source in ["t", "u"] {
        let held = world.entry(source).or_default();
        for part in 0..rng.random_range(1..3) {
            let mut changes = vec![];
            // Long partitions, so that most changes are small beside them.
            let load = source == "t" && time == FIRST && part == 0;
            for _ in 0..if load { LOAD_ROWS } else { rng.random_range(0..size) } {
                let n = held.len();
                if n > 0 && rng.random_bool(0.45) {
                    let row = held.keys().nth(rng.random_range(0..n)).expect("held").clone();
                    let copies = held.get_mut(&row).expect("held");
                    *copies -= 1;
                    if *copies == 0 {
                        held.remove(&row);
                    }
                    changes.push((row, -1));
                } else {
                    let (row, n) = (random_row(rng), rng.random_range(1..3));
                    *held.entry(row.clone()).or_default() += n;
                    changes.push((row, n));
                }
            }
            let path = format!("{time}-{part}");
            let cut = rng.random_range(0..=changes.len());
            let batches = vec![batch(&changes[..cut]), batch(&changes[cut..])];
            files.put(source, &path, "1", batches);
            added.push(SourceFile {
                source: source.into(),
                path,
                etag: "1".into(),
                size: 1,
                admitted: time,
                admitted_clock_us: 0,
            });
        }
    }
    Entry::files(time, added, vec![])
}

fn catalog() -> Catalog {
    let mut text = SOURCES.to_string();
    for line in VIEWS.lines().filter(|l| !l.trim().is_empty() && !l.starts_with("--")) {
        let (name, query) = line.split_once(':').expect("name: query");
        text += &format!("CREATE MATERIALIZED VIEW {name} AS {query};\n");
    }
    let statements = parse(&text, "law.sql").expect("the statements parse");
    Catalog::new(statements).unwrap_or_else(|e| panic!("{e}"))
}

async fn check(catalog: &Catalog, capture: &Capture, world: &World, time: u64, seed: u64) {
    let when = format!("seed {seed} time {time}");
    let mut oracle = Oracle::new(catalog);
    for (source, held) in world {
        let rows: Vec<(Row, i64)> = held
            .iter()
            .flat_map(|(r, n)| std::iter::repeat_n((r.clone(), 1), *n as usize))
            .collect();
        let rows = batch(&rows).project(&[0, 1, 2, 3, 4, 5]).expect("six columns");
        oracle.provide(source, vec![rows]).expect("rows fit");
    }
    for view in catalog.views().iter().filter(|v| v.materialized) {
        let want = oracle.rows(&view.name).await.unwrap_or_else(|e| panic!("{}: {e}", view.name));
        let got = capture.rows(&view.name, time);
        let (n, shown) = compare(&view.schema, &[got], &want, 6).expect("comparable");
        assert_eq!(n, 0, "{when}, view {}: {shown:#?}", view.name);
    }
    let faults = capture.rows(engine::faults::FAULTS, time);
    assert_eq!(faults.num_rows(), 0, "{when}: {faults:?}");
}

fn follow(seed: u64, clusters: Vec<Cluster>, times: u64, size: usize) {
    let catalog = catalog();
    let plan = lower(&catalog).unwrap_or_else(|e| panic!("{e}"));
    let (files, capture) = (Files::at_random_pace(seed), Capture::default());
    let job = Job {
        plan,
        reader: Arc::new(files.clone()),
        sink: Arc::new(capture.clone()),
        epoch: FIRST,
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
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut world, mut time) = (World::new(), FIRST);
    // What the sources held at each time.
    let mut worlds: BTreeMap<u64, World> = BTreeMap::new();
    while time < FIRST + times {
        let last = (time + rng.random_range(0..3)).min(FIRST + times - 1);
        for t in time..=last {
            let size = if rng.random_bool(0.1) { 1 } else { size };
            assert!(feed.send(change(&mut world, &files, t, size.max(1), &mut rng)));
            worlds.insert(t, world.clone());
        }
        while committed.recv().expect("commits follow entries") < last {}
        for t in capture.times().into_iter().filter(|t| *t >= time) {
            runtime.block_on(check(&catalog, &capture, &worlds[&t], t, seed));
        }
        time = last + 1;
    }
    drop(feed);
    threads.into_iter().for_each(|t| t.join().expect("no worker panics"));
}

#[test]
fn views_equal_batch_sql_on_one_thread() {
    (0..3).for_each(|seed| follow(seed, vec![Cluster::threads(1)], 8, 30));
}

#[test]
fn views_equal_batch_sql_on_two_threads() {
    (10..12).for_each(|seed| follow(seed, vec![Cluster::threads(2)], 8, 30));
}

#[test]
fn views_equal_batch_sql_on_two_and_three_processes() {
    for (seed, processes) in [(20, 2), (21, 3)] {
        let ports: Vec<_> = (0..processes)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let hosts: Vec<String> =
            ports.iter().map(|p| p.local_addr().expect("bound").to_string()).collect();
        drop(ports);
        let cluster = |process| Cluster { threads: 1, process, hosts: hosts.clone() };
        follow(seed, (0..processes).map(cluster).collect(), 6, 30);
    }
}
