//! What benches share: a dataflow made from SQL, fed from memory, whose views go nowhere.
//!
//! Sources and sinks are left out on purpose, so that a bench measures the operators it names.

pub mod state;
pub mod turns;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrangement::Budget;
use arrow::array::{ArrayRef, RecordBatch};
use engine::execute::{Cluster, Event, Feed, Job, execute, feed};
use engine::plan::Plan;
use engine::ports::{
    Committer, Entry, FileBatch, FileBatches, PortError, PortErrorKind, Reader, Sink, SourceFile,
    Staged, ViewSpec, ViewWriter, WorkerId,
};
use schemas::{Diff, Time};
use sql::{Catalog, lower, parse};

/// Files in memory, by path.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<HashMap<String, Vec<RecordBatch>>>>);

impl Reader for Memory {
    fn open(&self, file: &SourceFile) -> Result<FileBatches, PortError> {
        let found = self.0.lock().expect("no holder panics").remove(&file.path);
        let gone = || PortError::new(PortErrorKind::Gone, format!("'{}' was read", file.path));
        let batches = found.ok_or_else(gone)?;
        Ok(Box::new(batches.into_iter().map(|rows| {
            let row_numbers = (0..rows.num_rows() as u64).collect();
            Ok(FileBatch { rows, row_numbers, faults: vec![] })
        })))
    }
}

/// Counts rows and forgets them.
pub struct Nowhere;

struct Counting {
    view: String,
    inserted: u64,
    deleted: u64,
}

impl Sink for Nowhere {
    fn writer(&self, view: &ViewSpec, _: WorkerId) -> Result<Box<dyn ViewWriter>, PortError> {
        Ok(Box::new(Counting { view: view.name.clone(), inserted: 0, deleted: 0 }))
    }

    fn committer(&self, _: &[ViewSpec]) -> Result<Box<dyn Committer>, PortError> {
        Ok(Box::new(Nowhere))
    }
}

impl Committer for Nowhere {
    fn commit(&mut self, _: Time, _: Vec<Staged>) -> Result<(), PortError> {
        Ok(())
    }
}

impl ViewWriter for Counting {
    fn route(&self, columns: &[ArrayRef]) -> Result<Vec<u64>, PortError> {
        Ok(vec![0; columns.first().map_or(0, |c| c.len())])
    }

    fn push(&mut self, _: RecordBatch, diffs: &[Diff]) -> Result<(), PortError> {
        self.inserted += diffs.iter().filter(|d| **d > 0).count() as u64;
        self.deleted += diffs.iter().filter(|d| **d < 0).count() as u64;
        Ok(())
    }

    fn stage(&mut self, time: Time) -> Result<Staged, PortError> {
        Ok(Staged {
            view: self.view.clone(),
            time,
            rows_inserted: std::mem::take(&mut self.inserted),
            rows_deleted: std::mem::take(&mut self.deleted),
            files: serde_json::Value::Null,
        })
    }
}

/// A dataflow that runs on one thread.
pub struct Dataflow {
    files: Memory,
    feed: Option<Feed>,
    events: Receiver<Event>,
    workers: Option<JoinHandle<Result<(), PortError>>>,
    time: Time,
}

impl Dataflow {
    /// Start the statements of `sql`, over files in memory.
    ///
    /// # Panics
    /// On SQL that cannot be maintained.
    pub fn new(sql: &str) -> Dataflow {
        let files = Memory::default();
        let read = files.clone();
        let mut flow = Dataflow::over(sql, |_| Arc::new(read));
        flow.files = files;
        flow
    }

    /// Start the statements of `sql` over the files of a reader, which may leave out the columns
    /// that the plan does not read.
    ///
    /// # Panics
    /// On SQL that cannot be maintained.
    pub fn over(sql: &str, reader: impl FnOnce(&Plan) -> Arc<dyn Reader>) -> Dataflow {
        let statements = parse(sql, "bench").expect("the bench's SQL");
        let catalog = Catalog::new(statements).expect("the bench's SQL");
        let plan = lower(&catalog).expect("the bench's SQL");
        let reader = reader(&plan);
        let (sink, budget) = (Arc::new(Nowhere), Budget::unlimited());
        let job = Job { plan, reader, sink, epoch: 1, budget };
        let (feed, entries) = feed();
        let (tell, events) = channel();
        let workers = std::thread::spawn(move || {
            execute(&Cluster::threads(1), job, Some(entries), move |e| {
                tell.send(e).unwrap_or_default();
            })
        });
        let files = Memory::default();
        Dataflow { files, feed: Some(feed), events, workers: Some(workers), time: 0 }
    }

    /// Hand over rows of `source` as one file; how long until all views follow, and the rows that
    /// changed in them.
    ///
    /// # Panics
    /// If the dataflow fails.
    pub fn absorb(&mut self, source: &str, batches: Vec<RecordBatch>) -> (Duration, u64) {
        let admitted = self.time + 1;
        let path = admitted.to_string();
        self.files.0.lock().expect("no holder panics").insert(path.clone(), batches);
        self.admit(vec![SourceFile {
            source: source.to_string(),
            path,
            etag: String::new(),
            size: 0,
            admitted,
            admitted_clock_us: 0,
        }])
    }

    /// Hand over files that the reader knows.
    ///
    /// # Panics
    /// If the dataflow fails.
    pub fn admit(&mut self, files: Vec<SourceFile>) -> (Duration, u64) {
        self.time += 1;
        let began = Instant::now();
        let feed = self.feed.as_ref().expect("it runs");
        feed.send(Entry::files(self.time, files, vec![]));
        let mut rows = 0;
        loop {
            let Event::Committed { time, rows_inserted, rows_deleted } =
                self.events.recv().expect("the dataflow runs");
            rows += rows_inserted + rows_deleted;
            if time >= self.time {
                return (began.elapsed(), rows);
            }
        }
    }
}

impl Drop for Dataflow {
    fn drop(&mut self) {
        drop(self.feed.take());
        if let Some(workers) = self.workers.take() {
            let _ = workers.join();
        }
    }
}

/// The middle of some durations.
///
/// # Panics
/// On none.
pub fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

/// User and system seconds of this process so far.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold spaces; behind it, fields 14 and 15 are ticks of 10 ms.
    let rest = text.rsplit(')').next().unwrap_or_default();
    let field = |n: usize| rest.split_whitespace().nth(n).and_then(|v| v.parse::<f64>().ok());
    (field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) / 100.0
}

/// The most memory this process ever held, bytes.
pub fn peak_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()).and_then(|v| v.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
