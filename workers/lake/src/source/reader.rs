//! Reading one file exactly as it was logged.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use engine::check::Check;
use engine::ports::{Fault, FileBatch, FileBatches, PortError, PortErrorKind, Reader, SourceFile};
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use schemas::normal::normal_type;
use tokio::runtime::Handle;

use super::list::{etag, object_path};
use super::location::store_error;
use super::{Batches, SourceConfig, history, hive};
use crate::store::Store;

/// Rows per batch.
pub(crate) const BATCH_ROWS: usize = 16_384;

/// Reads the files of a set of sources. Calls block their thread, which must not be one of the
/// runtime's.
pub struct LakeReader {
    sources: HashMap<String, Arc<SourceConfig>>,
    /// Columns somebody asks for, of sources that need not give all.
    asked: HashMap<String, Arc<BTreeSet<String>>>,
    lake: Store,
    runtime: Handle,
}

impl LakeReader {
    /// A reader of `sources`, and of their histories in `lake`, that does its requests on
    /// `runtime`.
    pub fn new(sources: Vec<SourceConfig>, lake: Store, runtime: Handle) -> Self {
        let named = sources.into_iter().map(|s| (s.name.clone(), Arc::new(s)));
        LakeReader { sources: named.collect(), asked: HashMap::new(), lake, runtime }
    }

    /// The same, which may give nulls instead of columns that are not named in `asked`. Sources
    /// that are not named give all.
    pub fn asked(mut self, asked: HashMap<String, BTreeSet<String>>) -> Self {
        self.asked = asked.into_iter().map(|(source, names)| (source, Arc::new(names))).collect();
        self
    }

    /// The bytes of `file`, if it is still the logged one.
    async fn fetch(config: &SourceConfig, file: &SourceFile) -> Result<Bytes, PortError> {
        let path = object_path(&config.location.prefix, &file.path);
        let doing = || format!("source '{}': reading '{}'", config.name, file.path);
        let gone = || {
            let message = format!("{}: it is not the file that was logged any more", doing());
            PortError::new(PortErrorKind::Gone, message)
        };
        let local = config.location.local.is_some();
        let options = match local {
            true => GetOptions::default(),
            false => GetOptions { if_match: Some(file.etag.clone()), ..GetOptions::default() },
        };
        let store = &config.location.store;
        let got = store.get_opts(&path, options).await.map_err(|e| store_error(doing(), e))?;
        if etag(&got.meta) != file.etag || got.meta.size != file.size {
            return Err(gone());
        }
        let bytes = got.bytes().await.map_err(|e| store_error(doing(), e))?;
        // A local file may have been written over while it was read.
        if local {
            let after = store.head(&path).await.map_err(|e| store_error(doing(), e))?;
            if etag(&after) != file.etag {
                return Err(gone());
            }
        }
        Ok(bytes)
    }
}

impl Reader for LakeReader {
    fn open(&self, file: &SourceFile) -> Result<FileBatches, PortError> {
        let config = self.sources.get(&file.source).cloned().ok_or_else(|| {
            PortError::new(PortErrorKind::Invalid, format!("no source '{}'", file.source))
        })?;
        if file.is_history() {
            let bytes = self.runtime.block_on(self.lake.read(&file.path))?;
            return Ok(Box::new(history::read(&config, &file.path, bytes)?));
        }
        let bytes = self.runtime.block_on(LakeReader::fetch(&config, file))?;
        let mut reading = Reading::new(&config, file);
        if config.checks.is_empty() {
            reading.asked = self.asked.get(&file.source).cloned();
        }
        let batches: Batches = match hive::partition(&reading) {
            Err(fault) => Box::new(std::iter::once(reading.only(fault))),
            Ok(partition) => config.format.0.read(reading.clone(), partition, bytes),
        };
        Ok(Box::new(batches.map(move |batch| Ok(reading.checked(batch)))))
    }
}

/// A file being read.
#[derive(Clone)]
pub(crate) struct Reading {
    pub source: String,
    pub path: String,
    /// Declared columns, nullable as declared.
    pub declared: SchemaRef,
    /// The same, all nullable: the schema of batches.
    pub schema: SchemaRef,
    /// Columns that it may lack.
    pub optional: BTreeSet<String>,
    /// It may lack nullable columns: it was there when they were declared.
    pub known: bool,
    checks: Arc<[Check]>,
    asked: Option<Arc<BTreeSet<String>>>,
}

impl Reading {
    /// Whether a column of the file, of type `t`, need not be decoded: nobody asks for it, and
    /// none of its values can be a fault.
    pub(crate) fn skips(&self, name: &str, t: &DataType) -> bool {
        let unasked = self.asked.as_ref().is_some_and(|asked| !asked.contains(name));
        let harmless =
            |f: &Field| f.is_nullable() && normal_type(t).as_ref() == Some(f.data_type());
        unasked && self.declared.field_with_name(name).is_ok_and(harmless)
    }

    fn new(config: &SourceConfig, file: &SourceFile) -> Self {
        let fields = config.schema.fields().iter();
        let nullable: Vec<_> = fields.map(|f| f.as_ref().clone().with_nullable(true)).collect();
        // A table has the columns that were declared: files that lack one are older than it.
        let table = config.schema.fields().iter().filter(|f| f.is_nullable());
        let table = table.filter(|_| config.format.is_table()).map(|f| f.name().clone());
        Reading {
            source: config.name.clone(),
            path: file.path.clone(),
            declared: config.schema.clone(),
            schema: Arc::new(Schema::new(nullable)),
            optional: config.optional.iter().cloned().chain(table).collect(),
            // What was there was logged together with the declaration.
            known: file.admitted <= config.declared,
            checks: config.checks.clone(),
            asked: None,
        }
    }

    /// `batch` without the rows that a check does not accept. Those are faults.
    fn checked(&self, batch: FileBatch) -> FileBatch {
        if self.checks.is_empty() {
            return batch;
        }
        let FileBatch { rows, row_numbers, mut faults } = batch;
        let mut keep = vec![true; rows.num_rows()];
        for check in self.checks.iter() {
            for rejected in check.rejected(&rows) {
                keep[rejected.row] = false;
                let row = row_numbers.get(rejected.row).copied();
                faults.push(self.fault(row, &check.name, rejected.reason));
            }
        }
        if keep.iter().all(|k| *k) {
            return FileBatch { rows, row_numbers, faults };
        }
        let numbered = row_numbers.iter().zip(&keep).filter(|(_, keep)| **keep);
        let row_numbers = numbered.map(|(n, _)| *n).collect();
        let rows = filter_record_batch(&rows, &BooleanArray::from(keep)).expect("same length");
        FileBatch { rows, row_numbers, faults }
    }

    pub(crate) fn fault(&self, row: Option<u64>, column: &str, reason: String) -> Fault {
        Fault {
            origin: self.source.clone(),
            file: self.path.clone(),
            row,
            column: column.to_string(),
            reason,
        }
    }

    /// No rows, no faults.
    pub(crate) fn nothing(&self) -> FileBatch {
        let rows = RecordBatch::new_empty(self.schema.clone());
        FileBatch { rows, row_numbers: vec![], faults: vec![] }
    }

    /// A file of which nothing can be read, for this reason.
    pub(crate) fn broken(&self, reason: String) -> Batches {
        Box::new(std::iter::once(self.only(self.fault(None, "", reason))))
    }

    /// No rows, one fault.
    pub(crate) fn only(&self, fault: Fault) -> FileBatch {
        FileBatch { faults: vec![fault], ..self.nothing() }
    }
}
