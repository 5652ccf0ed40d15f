//! What a view's table costs: 1 M rows of 29 columns loaded, 200 scattered rows restated, 20,000
//! rows of one bucket restated.
//!
//!     cargo bench --workspace --bench sink
//!
//! Beside the sink run, in the same process: the Parquet encoder alone on the same batches (the
//! floor), and a sink that keeps every row encoded in a sorted map (`by_rows`). Amplification is
//! bytes written per byte of the changed rows, a changed row counting twice (out and in).

mod by_rows;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use engine::ports::{Committer, Sink, ViewSpec, ViewWriter, WorkerId};
use lake::Store;
use lake::sink::{DeltaSink, Incarnation, Outside, SinkSettings};
use parquet::arrow::ArrowWriter;
use tokio::runtime::Handle;

use by_rows::ByRows;
use world::{Cell, World};

const FILE_ROWS_MAX: usize = 131_072;
const BUCKET_DAYS: u32 = 7;

/// The program's own: encoders on many threads leave holes in others.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A batch and the diffs of its rows.
type Change = (RecordBatch, Vec<i64>);

/// A way to keep a table right.
trait Table {
    fn push(&mut self, change: Change);
    /// Write what was pushed.
    fn commit(&mut self, t: u64);
}

struct Columnar {
    writer: Box<dyn ViewWriter>,
    committer: Box<dyn Committer>,
}

impl Columnar {
    fn new(runtime: &Handle, folder: &Path) -> Columnar {
        let store = Store::open(&folder.display().to_string(), &BTreeMap::new(), folder);
        let drawn = AtomicU64::new(0);
        let nonce = move || drawn.fetch_add(1, Ordering::Relaxed).to_string();
        let outside = Outside { nonce: Arc::new(nonce), clock_us: Arc::new(|| 0) };
        let created = BTreeMap::from([("v".to_string(), 1)]);
        let incarnation = Incarnation { epoch: 1, created };
        let settings = SinkSettings { file_rows_max: FILE_ROWS_MAX, bucket_days: BUCKET_DAYS };
        let store = store.expect("a folder");
        let sink = DeltaSink::new(store, runtime.clone(), incarnation, settings, outside);
        let view = ViewSpec {
            name: "v".to_string(),
            schema: world::schema(),
            time_column: Some(world::TIME_COLUMN),
        };
        let worker = WorkerId { index: 0, peers: 1 };
        Columnar {
            writer: sink.writer(&view, worker).expect("a writer"),
            committer: sink.committer(&[view]).expect("a committer"),
        }
    }
}

impl Table for Columnar {
    fn push(&mut self, (rows, diffs): Change) {
        self.writer.push(rows, &diffs).expect("rows fit");
    }

    fn commit(&mut self, t: u64) {
        let staged = self.writer.stage(t).expect("written");
        self.committer.commit(t, vec![staged]).expect("committed");
    }
}

/// Nothing but the encoder: files of the batches as they come; changes are not its business.
struct Encoder(Option<ArrowWriter<std::fs::File>>, std::path::PathBuf, usize);

impl Table for Encoder {
    fn push(&mut self, (rows, _): Change) {
        let writer = self.0.get_or_insert_with(|| {
            self.2 += 1;
            let file = std::fs::File::create(self.1.join(format!("{}.parquet", self.2)));
            let properties = Some(by_rows::properties());
            ArrowWriter::try_new(file.expect("a file"), rows.schema(), properties).expect("starts")
        });
        writer.write(&rows).expect("written");
        if writer.in_progress_rows() >= FILE_ROWS_MAX {
            self.commit(0);
        }
    }

    fn commit(&mut self, _: u64) {
        if let Some(writer) = self.0.take() {
            writer.close().expect("written");
        }
    }
}

/// Time of all threads of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat.split(' ').map(|f| f.parse().unwrap_or(0)).collect();
    Duration::from_millis(10 * (fields[13] + fields[14]))
}

/// `VmHWM` or `VmRSS`, MB.
fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(what));
    let kb = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

fn parquet_bytes(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            bytes += parquet_bytes(&path);
        } else if path.extension().is_some_and(|e| e == "parquet") {
            bytes += entry.metadata().expect("there").len();
        }
    }
    bytes
}

struct Step {
    name: &'static str,
    rows: usize,
    changes: Vec<Change>,
}

fn steps(world: &World, load_only: bool) -> Vec<Step> {
    let load = world.cells();
    let rows = load.len();
    let changes = load.chunks(8_192).map(|part| world.insertions(part, 0)).collect();
    let mut steps = vec![Step { name: "load", rows, changes }];
    if load_only {
        return steps;
    }
    let scattered: Vec<Cell> = load.iter().step_by(rows / 200 - 1).take(200).copied().collect();
    let changes = vec![world.insertions(&scattered, 1), world.retractions(&scattered, 0)];
    steps.push(Step { name: "200 scattered", rows: scattered.len(), changes });
    let week = |c: &&Cell| (1_008..1_176).contains(&c.1) && c.0 % 4 == 1;
    let bucket: Vec<Cell> = load.iter().filter(week).copied().take(20_000).collect();
    let changes = vec![world.insertions(&bucket, 2), world.retractions(&bucket, 0)];
    steps.push(Step { name: "one bucket", rows: bucket.len(), changes });
    steps
}

fn run(what: &str, table: &mut dyn Table, folder: &Path, steps: Vec<Step>) {
    let mut per_row = 0.0;
    for (t, step) in (1..).zip(steps) {
        let before = parquet_bytes(folder);
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let (resident, began, busy) = (memory("VmRSS"), Instant::now(), cpu());
        step.changes.into_iter().for_each(|change| table.push(change));
        table.commit(t);
        let (wall, busy) = (began.elapsed(), cpu() - busy);
        let written = (parquet_bytes(folder) - before) as f64;
        if t == 1 {
            per_row = written / step.rows as f64;
        }
        let changed = per_row * step.rows as f64 * if t == 1 { 1.0 } else { 2.0 };
        println!(
            "{what:>9} {:>14} {:>9.0} {:>9.0} {:>9.2} {:>10.2} {:>10.2} {:>9.0}",
            step.name,
            wall.as_secs_f64() * 1e3,
            busy.as_secs_f64() * 1e3,
            busy.as_secs_f64() * 1e6 / step.rows as f64,
            written / 1e6,
            written / changed,
            memory("VmHWM") - resident,
        );
    }
}

/// One way, in a process of its own: what another one left of the heap is not measured.
fn measure(what: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let mut table: Box<dyn Table> = match what {
        "sink" => Box::new(Columnar::new(runtime.handle(), path)),
        "encoder" => Box::new(Encoder(None, path.to_path_buf(), 0)),
        _ => Box::new(ByRows::new(path)),
    };
    let world = World::new(500, 2_000);
    run(what, table.as_mut(), path, steps(&world, what == "encoder"));
}

fn main() {
    let ways = ["sink", "encoder", "by rows"];
    if let Some(what) = std::env::args().find(|a| ways.contains(&a.as_str())) {
        return measure(&what);
    }
    println!(
        "{:>9} {:>14} {:>9} {:>9} {:>9} {:>10} {:>10} {:>9}",
        "", "", "wall ms", "CPU ms", "µs/row", "MB written", "amplified", "peak +MB"
    );
    let program = std::env::current_exe().expect("a program");
    for what in [ways, ways].concat() {
        let ended = std::process::Command::new(&program).arg(what).status().expect("starts");
        assert!(ended.success(), "{what}: {ended}");
    }
}
