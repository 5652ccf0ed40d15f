//! The benchmark job, by Tidewatch: `dataflows/benchmark_features` over a generated lake.
//!
//!     cargo run --release --workspace --example features -- DATA [--workers N] [--durable FOLDER]
//!         [--upsert] [--memory-mb N]
//!
//! With `--upsert` the source is what platforms deliver, hourly totals with versions, instead of
//! events and their corrections; the views over it are the same.
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
use engine::plan::Plan;
use engine::ports::{Entry, Sink, SourceFile};
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
/// Where in [`SQL`] the views over hourly cells begin.
const OVER_CELLS: &str = "CREATE VIEW rolling";
/// Hourly cells as a source, see `peers/cells.py`.
const CELLS: &str = "
CREATE SOURCE hourly (
    campaign_id BIGINT NOT NULL,
    hour        TIMESTAMP NOT NULL,
    imp         BIGINT,
    clk         BIGINT,
    spend       BIGINT,
    conv        BIGINT,
    rev         BIGINT,
    as_of       TIMESTAMP NOT NULL,
    PRIMARY KEY (campaign_id, hour)
) WITH (location = 'hourly/', format = 'parquet', mode = 'upsert', version = 'as_of',
        event_time = 'hour');
";
const FRESH: usize = 5;

struct Args {
    data: PathBuf,
    workers: usize,
    durable: Option<PathBuf>,
    /// Memory for state; the rest goes to the folder for temporary files.
    memory_mb: Option<usize>,
    upsert: bool,
}

fn args() -> Args {
    let mut args =
        Args { data: PathBuf::new(), workers: 1, durable: None, memory_mb: None, upsert: false };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut value = || given.next().expect("a value follows");
        match arg.as_str() {
            "--workers" => args.workers = value().parse().expect("a number of workers"),
            "--memory-mb" => args.memory_mb = value().parse().ok(),
            "--upsert" => args.upsert = true,
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

fn sql(args: &Args) -> String {
    let over_cells = SQL.find(OVER_CELLS).expect("views over hourly cells");
    if args.upsert { CELLS.to_string() + &SQL[over_cells..] } else { SQL.to_string() }
}

fn sink(args: &Args, runtime: &Runtime, plan: &Plan, budget: &Budget) -> Arc<dyn Sink> {
    let Some(folder) = &args.durable else { return Arc::new(Nowhere) };
    std::fs::create_dir_all(folder).expect("a folder");
    let here = std::env::current_dir().expect("a folder");
    let store = Store::open(&folder.display().to_string(), &BTreeMap::new(), &here);
    let views = engine::views(plan).into_iter().map(|v| (v.name, 1));
    let incarnation = Incarnation { epoch: 1, created: views.collect() };
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

/// As the log admits them at `t`.
fn admitted(files: Vec<SourceFile>, t: u64) -> Vec<SourceFile> {
    files.into_iter().map(|f| SourceFile { admitted: t, ..f }).collect()
}

fn main() {
    let args = args();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let sql = sql(&args);
    let catalog = Catalog::new(parse(&sql, "benchmark_features.sql").expect("SQL")).expect("SQL");
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
    let sink = sink(&args, &runtime, &plan, &budget);
    let job = Job { plan, reader, sink, epoch: 1, budget: budget.clone() };
    let (feed, entries) = feed();
    let (tell, events) = channel();
    let cluster = Cluster::threads(args.workers);
    let workers = std::thread::spawn(move || {
        execute(&cluster, job, Some(entries), move |e| tell.send(e).unwrap_or_default())
    });
    // Everything but what comes later, which is named.
    let late = |f: &SourceFile| f.path.contains("restate") || f.path.contains("fresh-");
    let all: Vec<SourceFile> = files.into_values().flatten().collect();
    let cold = all.iter().filter(|f| !late(f)).cloned().collect();
    phase("cold_s", &feed, &events, Entry::files(1, admitted(cold, 1), vec![]));
    let named = |name: &str, t: u64| {
        let found = all.iter().find(|f| f.path.ends_with(name));
        let found = found.unwrap_or_else(|| panic!("{name} is there"));
        Entry::files(t, admitted(vec![found.clone()], t), vec![])
    };
    phase("restate_partial_s", &feed, &events, named("restate.parquet", 2));
    for k in 0..FRESH {
        let entry = named(&format!("fresh-{k}.parquet"), 3 + k as u64);
        phase("fresh_partial_s", &feed, &events, entry);
    }
    drop(feed);
    workers.join().expect("no panic").expect("the run ends well");
}
