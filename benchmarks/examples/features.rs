//! The benchmark job, by Tidewatch: `dataflows/benchmark_features` over a generated lake.
//!
//!     cargo run --release --workspace --example features -- DATA [--workers N] [--durable FOLDER]
//!         [--memory-mb N]
//!
//! Phases: cold (the whole lake), restatement (0.1 % of the campaign-hours), then fresh batches.
//! *Visible* is when all changes have left the dataflow as columns; with `--durable` each phase
//! ends when they are committed as a Delta table in FOLDER. One JSON line per phase, as
//! `peers/measure.py` collects them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use arrangement::Budget;
use engine::execute::{Cluster, Event, Feed, Job, execute, feed};
use engine::ports::{Entry, Sink};
use engine::rewrite::columns_read;
use lake::Store;
use lake::sink::{DeltaSink, Incarnation, Outside, SinkSettings};
use lake::source::{Format, LakeReader, SourceConfig, changes, list, open_location};
use sql::{Catalog, lower, parse};
use tidewatch_benchmarks::{Nowhere, cpu_seconds, peak_bytes};
use tokio::runtime::Runtime;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SQL: &str = include_str!("../../dataflows/benchmark_features/benchmark_features.sql");
const FRESH: usize = 5;

struct Args {
    data: PathBuf,
    workers: usize,
    durable: Option<PathBuf>,
    /// Memory for state; the rest goes to the folder for temporary files.
    memory_mb: Option<usize>,
}

fn args() -> Args {
    let mut args = Args { data: PathBuf::new(), workers: 1, durable: None, memory_mb: None };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut value = || given.next().expect("a value follows");
        match arg.as_str() {
            "--workers" => args.workers = value().parse().expect("a number of workers"),
            "--memory-mb" => args.memory_mb = value().parse().ok(),
            "--durable" => args.durable = Some(value().into()),
            _ => args.data = arg.into(),
        }
    }
    args
}

fn config(runtime: &Runtime, data: &Path, source: &sql::SourceDef) -> SourceConfig {
    let _guard = runtime.enter();
    let root = data.display().to_string();
    let location = open_location(&source.location, &root, &BTreeMap::new()).expect("the data");
    let format = Format::named("parquet").expect("a format");
    SourceConfig::new(source.name.clone(), location, format, source.file_schema.clone(), 0)
}

fn sink(args: &Args, runtime: &Runtime, catalog: &Catalog, budget: &Budget) -> Arc<dyn Sink> {
    let Some(folder) = &args.durable else { return Arc::new(Nowhere) };
    std::fs::create_dir_all(folder).expect("a folder");
    let here = std::env::current_dir().expect("a folder");
    let store = Store::open(&folder.display().to_string(), &BTreeMap::new(), &here);
    let views = catalog.views().iter().map(|v| v.name.clone()).chain(["faults".to_string()]);
    let incarnation = Incarnation { epoch: 1, created: views.map(|v| (v, 1)).collect() };
    let settings = SinkSettings { file_rows_max: 131_072, bucket_days: 7 };
    let drawn = std::sync::atomic::AtomicU64::new(0);
    let nonce = move || format!("{:016x}", drawn.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    let outside = Outside { nonce: Arc::new(nonce), clock_us: Arc::new(|| 1_000_000) };
    let handle = runtime.handle().clone();
    let store = store.expect("a store");
    let sink = DeltaSink::new(store, handle, incarnation, settings, outside);
    Arc::new(sink.with_budget(budget.clone()))
}

/// Hand over `entry` and wait until it is committed; one line of figures.
fn phase(name: &str, feed: &Feed, events: &Receiver<Event>, entry: Entry) {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let want = entry.time;
    feed.send(entry);
    let mut changed = 0;
    loop {
        let Event::Committed { time, rows_inserted, rows_deleted } =
            events.recv().expect("the dataflow runs");
        changed += rows_inserted + rows_deleted;
        if time >= want {
            break;
        }
    }
    let line = serde_json::json!({
        "metric": name,
        "value": began.elapsed().as_secs_f64(),
        "cpu_s": cpu_seconds() - cpu,
        "rows_changed": changed,
        "hwm_mb": peak_bytes() >> 20,
    });
    println!("@@{line}");
}

fn main() {
    let args = args();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let catalog = Catalog::new(parse(SQL, "benchmark_features.sql").expect("SQL")).expect("SQL");
    let plan = lower(&catalog).expect("SQL");
    let configs: Vec<SourceConfig> =
        catalog.sources().map(|s| config(&runtime, &args.data, s)).collect();
    let mut files = BTreeMap::new();
    for config in &configs {
        let listed = runtime.block_on(list(config)).expect("files");
        files.insert(config.name.clone(), changes(&config.name, &listed, &[]).0);
    }
    let here = std::env::current_dir().expect("a folder");
    let store = Store::open(&args.data.display().to_string(), &BTreeMap::new(), &here);
    let reader = LakeReader::new(configs, store.expect("a store"), runtime.handle().clone());
    let reader = Arc::new(reader.asked(columns_read(&plan)));
    let budget = match args.memory_mb {
        None => Budget::unlimited(),
        Some(mb) => Budget::new(&std::env::temp_dir(), mb << 20).expect("a disk"),
    };
    let sink = sink(&args, &runtime, &catalog, &budget);
    let job = Job { plan, reader, sink, epoch: 1, budget: budget.clone() };
    let (feed, entries) = feed();
    let (tell, events) = channel();
    let cluster = Cluster::threads(args.workers);
    let workers = std::thread::spawn(move || {
        execute(&cluster, job, Some(entries), move |e| tell.send(e).unwrap_or_default())
    });
    phase("cold_s", &feed, &events, Entry::files(1, files["events"].clone(), vec![]));
    let corrections = |name: &str| {
        let found = files["corrections"].iter().find(|f| f.path.ends_with(name));
        vec![found.unwrap_or_else(|| panic!("{name} is there")).clone()]
    };
    let restated = Entry::files(2, corrections("restate.parquet"), vec![]);
    phase("restate_partial_s", &feed, &events, restated);
    for k in 0..FRESH {
        let fresh = Entry::files(3 + k as u64, corrections(&format!("fresh-{k}.parquet")), vec![]);
        phase("fresh_partial_s", &feed, &events, fresh);
    }
    drop(feed);
    workers.join().expect("no panic").expect("the run ends well");
}
