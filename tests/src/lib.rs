//! Roof: tests that may see every floor, and what they share: files in memory behind the reader
//! port, and a sink that keeps every view as a multiset behind the sink port.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use engine::ports::{
    Committer, FileBatch, FileBatches, PortError, PortErrorKind, Reader, Sink, SourceFile, Staged,
    ViewSpec, ViewWriter, WorkerId,
};
use schemas::{Diff, Time};

/// Source, path and etag of a file.
type Key = (String, String, String);

/// Files in memory, each a list of batches.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<HashMap<Key, Vec<RecordBatch>>>>);

impl Files {
    /// Put a file there.
    pub fn put(&self, source: &str, path: &str, etag: &str, batches: Vec<RecordBatch>) {
        let key = (source.to_string(), path.to_string(), etag.to_string());
        self.0.lock().expect("no holder panics").insert(key, batches);
    }
}

impl Reader for Files {
    fn open(&self, file: &SourceFile) -> Result<FileBatches, PortError> {
        let key = (file.source.clone(), file.path.clone(), file.etag.clone());
        let found = self.0.lock().expect("no holder panics").get(&key).cloned();
        let gone = || PortError::new(PortErrorKind::Gone, format!("file '{}' is gone", file.path));
        let batches = found.ok_or_else(gone)?;
        let mut next = 0;
        Ok(Box::new(batches.into_iter().map(move |rows| {
            let row_numbers = (next..next + rows.num_rows() as u64).collect();
            next += rows.num_rows() as u64;
            Ok(FileBatch { rows, row_numbers, faults: vec![] })
        })))
    }
}

/// The rows of a view, each with how often it is there.
pub type Multiset = BTreeMap<OwnedRow, Diff>;

/// Keeps what every worker pushed, per view.
#[derive(Clone, Default)]
pub struct Capture {
    views: Arc<Mutex<HashMap<String, Held>>>,
}

struct Held {
    converter: RowConverter,
    rows: Multiset,
    spec: ViewSpec,
}

impl Capture {
    /// The view's rows as one batch, each copy written out.
    ///
    /// # Panics
    /// On a row that is there a negative number of times: an engine bug.
    pub fn rows(&self, view: &str) -> RecordBatch {
        let views = self.views.lock().expect("no holder panics");
        let held = views.get(view).unwrap_or_else(|| panic!("no view '{view}'"));
        for (row, copies) in &held.rows {
            let shown = || held.converter.convert_rows([row.row()]);
            assert!(*copies > 0, "view '{view}' holds {copies} copies of {:?}", shown());
        }
        let copies = held
            .rows
            .iter()
            .flat_map(|(row, n)| std::iter::repeat_n(row.row(), usize::try_from(*n).unwrap_or(0)));
        let columns = held.converter.convert_rows(copies).expect("rows came from this converter");
        let options = arrow::array::RecordBatchOptions::new()
            .with_row_count(Some(held.rows.values().sum::<i64>() as usize));
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
        let held = Held { converter, rows: Multiset::new(), spec: view.clone() };
        let mut views = self.views.lock().expect("no holder panics");
        views.entry(view.name.clone()).or_insert(held);
        Ok(Box::new(Capturing { view: view.name.clone(), capture: self.clone(), pushed: vec![] }))
    }

    fn committer(&self, _: &[ViewSpec]) -> Result<Box<dyn Committer>, PortError> {
        Ok(Box::new(Nothing))
    }
}

struct Capturing {
    view: String,
    capture: Capture,
    pushed: Vec<(RecordBatch, Vec<Diff>)>,
}

impl ViewWriter for Capturing {
    fn route(&self, columns: &[ArrayRef]) -> Result<Vec<u64>, PortError> {
        Ok(arrangement::hash_columns(columns))
    }

    fn push(&mut self, rows: RecordBatch, diffs: &[Diff]) -> Result<(), PortError> {
        self.pushed.push((rows, diffs.to_vec()));
        Ok(())
    }

    fn stage(&mut self, time: Time) -> Result<Staged, PortError> {
        let mut views = self.capture.views.lock().expect("no holder panics");
        let held = views.get_mut(&self.view).expect("the writer registered it");
        for (rows, diffs) in self.pushed.drain(..) {
            let encoded = held.converter.convert_columns(rows.columns());
            let encoded = encoded.expect("rows fit the view's schema");
            for (row, diff) in encoded.iter().zip(diffs) {
                let copies = held.rows.entry(row.owned()).or_default();
                *copies += diff;
                if *copies == 0 {
                    held.rows.remove(&row.owned());
                }
            }
        }
        let (view, files) = (self.view.clone(), serde_json::Value::Null);
        Ok(Staged { view, time, rows_inserted: 0, rows_deleted: 0, files })
    }
}

struct Nothing;

impl Committer for Nothing {
    fn commit(&mut self, _: Time, _: Vec<Staged>) -> Result<(), PortError> {
        Ok(())
    }
}
