//! Roof: tests that may see every floor, and what they share: files in memory behind the reader
//! port, read at whatever pace a seed says, and behind the sink port every view as a multiset, as
//! it was at each committed time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrangement::Budget;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use engine::ports::{
    Committer, FileBatch, FileBatches, PortError, PortErrorKind, Reader, Sink, SourceFile, Staged,
    ViewSpec, ViewWriter, WorkerId,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::{Diff, Time};

/// Memory for state: for every second seed none at all, so that everything goes to disk.
pub fn budget(seed: u64) -> Budget {
    match seed % 2 {
        0 => Budget::unlimited(),
        _ => Budget::new(&std::env::temp_dir(), 0).expect("a folder for temporary files"),
    }
}

/// Source, path and etag of a file.
type Key = (String, String, String);

/// Files in memory, each a list of batches.
#[derive(Clone, Default)]
pub struct Files {
    held: Arc<Mutex<HashMap<Key, Vec<RecordBatch>>>>,
    /// Of [`Files::at_random_pace`].
    pace: Option<Arc<Mutex<StdRng>>>,
}

impl Files {
    /// Files that are read now fast, now slowly, so that workers get out of step.
    pub fn at_random_pace(seed: u64) -> Files {
        let pace = Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))));
        Files { pace, ..Files::default() }
    }

    fn pause(&self) {
        let Some(pace) = &self.pace else { return };
        let mut rng = pace.lock().unwrap_or_else(PoisonError::into_inner);
        let pause_us = if rng.random_bool(0.3) { rng.random_range(0..6_000) } else { 0 };
        drop(rng);
        std::thread::sleep(Duration::from_micros(pause_us));
    }

    /// Put a file there.
    pub fn put(&self, source: &str, path: &str, etag: &str, batches: Vec<RecordBatch>) {
        let key = (source.to_string(), path.to_string(), etag.to_string());
        self.held.lock().expect("no holder panics").insert(key, batches);
    }
}

impl Reader for Files {
    fn open(&self, file: &SourceFile) -> Result<FileBatches, PortError> {
        let key = (file.source.clone(), file.path.clone(), file.etag.clone());
        let found = self.held.lock().expect("no holder panics").get(&key).cloned();
        let gone = || PortError::new(PortErrorKind::Gone, format!("file '{}' is gone", file.path));
        let batches = found.ok_or_else(gone)?;
        let mut next = 0;
        let files = self.clone();
        Ok(Box::new(batches.into_iter().map(move |rows| {
            let row_numbers = (next..next + rows.num_rows() as u64).collect();
            next += rows.num_rows() as u64;
            files.pause();
            Ok(FileBatch { rows, row_numbers, faults: vec![] })
        })))
    }
}

/// The rows of a view, each with how often it is there.
pub type Multiset = BTreeMap<OwnedRow, Diff>;

/// Keeps every view as it was at each committed time.
#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<Captured>>);

#[derive(Default)]
struct Captured {
    views: HashMap<String, Held>,
    /// What was staged and not committed yet.
    staged: HashMap<u64, Vec<(OwnedRow, Diff)>>,
    stages: u64,
}

struct Held {
    converter: RowConverter,
    rows: Multiset,
    /// As of each commit.
    at: BTreeMap<Time, Multiset>,
    spec: ViewSpec,
}

impl Capture {
    /// The times that were committed so far, rising.
    pub fn times(&self) -> Vec<Time> {
        let captured = self.0.lock().expect("no holder panics");
        captured.views.values().next().map_or(vec![], |v| v.at.keys().copied().collect())
    }

    /// The view's rows at `time` as one batch, each copy written out.
    ///
    /// # Panics
    /// On a time that was not committed, or a row that is there a negative number of times: an
    /// engine bug.
    pub fn rows(&self, view: &str, time: Time) -> RecordBatch {
        let captured = self.0.lock().expect("no holder panics");
        let held = captured.views.get(view).unwrap_or_else(|| panic!("no view '{view}'"));
        let rows = held.at.get(&time).unwrap_or_else(|| panic!("{time} was not committed"));
        for (row, copies) in rows {
            let shown = || held.converter.convert_rows([row.row()]);
            assert!(*copies > 0, "view '{view}' holds {copies} copies of {:?}", shown());
        }
        let copies = rows
            .iter()
            .flat_map(|(row, n)| std::iter::repeat_n(row.row(), usize::try_from(*n).unwrap_or(0)));
        let columns = held.converter.convert_rows(copies).expect("rows came from this converter");
        let options = arrow::array::RecordBatchOptions::new()
            .with_row_count(Some(rows.values().sum::<i64>() as usize));
        RecordBatch::try_new_with_options(held.spec.schema.clone(), columns, &options)
            .expect("rows fit the view's schema")
    }
}

impl Sink for Capture {
    fn writer(&self, view: &ViewSpec, _: WorkerId) -> Result<Box<dyn ViewWriter>, PortError> {
        let fields = view.schema.fields().iter();
        let converter =
            RowConverter::new(fields.map(|f| SortField::new(f.data_type().clone())).collect())
                .expect("normal types are sortable");
        let (rows, at) = (Multiset::new(), BTreeMap::new());
        let held = Held { converter, rows, at, spec: view.clone() };
        let mut captured = self.0.lock().expect("no holder panics");
        captured.views.entry(view.name.clone()).or_insert(held);
        Ok(Box::new(Capturing { view: view.name.clone(), capture: self.clone(), pushed: vec![] }))
    }

    fn committer(&self, _: &[ViewSpec]) -> Result<Box<dyn Committer>, PortError> {
        Ok(Box::new(self.clone()))
    }
}

struct Capturing {
    view: String,
    capture: Capture,
    pushed: Vec<(OwnedRow, Diff)>,
}

impl ViewWriter for Capturing {
    fn route(&self, columns: &[ArrayRef]) -> Result<Vec<u64>, PortError> {
        Ok(arrangement::hash_columns(columns))
    }

    fn push(&mut self, rows: RecordBatch, diffs: &[Diff]) -> Result<(), PortError> {
        let captured = self.capture.0.lock().expect("no holder panics");
        let held = captured.views.get(&self.view).expect("the writer registered it");
        let encoded = held.converter.convert_columns(rows.columns());
        let encoded = encoded.expect("rows fit the view's schema");
        self.pushed.extend(encoded.iter().map(|r| r.owned()).zip(diffs.iter().copied()));
        Ok(())
    }

    fn stage(&mut self, time: Time) -> Result<Staged, PortError> {
        let mut captured = self.capture.0.lock().expect("no holder panics");
        let stage = captured.stages;
        captured.stages += 1;
        captured.staged.insert(stage, std::mem::take(&mut self.pushed));
        let (view, files) = (self.view.clone(), serde_json::json!(stage));
        Ok(Staged { view, time, rows_inserted: 0, rows_deleted: 0, files })
    }
}

impl Committer for Capture {
    fn commit(&mut self, time: Time, staged: Vec<Staged>) -> Result<(), PortError> {
        let mut captured = self.0.lock().expect("no holder panics");
        let Captured { views, staged: waiting, .. } = &mut *captured;
        for one in staged {
            let stage = one.files.as_u64().expect("the writer named it so");
            let rows = waiting.remove(&stage).expect("each stage is committed once");
            let held = views.get_mut(&one.view).expect("its writer registered it");
            for (row, diff) in rows {
                let copies = held.rows.entry(row.clone()).or_default();
                *copies += diff;
                if *copies == 0 {
                    held.rows.remove(&row);
                }
            }
        }
        for held in views.values_mut() {
            held.at.insert(time, held.rows.clone());
        }
        Ok(())
    }
}
