//! Sources: folders of files that become rows.
//!
//! [`location`] opens where a source lives, [`mod@list`] says which files are there and ready,
//! [`reader`] reads one exactly as it was logged. What cannot be read is a fault with file, row
//! and column; the rest of the file stays valid. A format is one file of this folder and one line
//! in `FORMATS`.

mod compression;
mod convert;
mod csv;
mod delta;
mod guard;
mod history;
mod hive;
mod ipc;
mod json;
pub mod list;
pub mod location;
mod parquet;
pub mod reader;
mod shape;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use engine::check::Check;
use engine::ports::FileBatch;
use object_store::ObjectStore;
use object_store::path::Path;
use schemas::Time;

pub use guard::decoding;
pub use history::history;
pub use list::{Listed, changes, list, ready};
pub use location::{Location, open_location};
pub use reader::LakeReader;

use reader::Reading;

/// A source, as its files are read.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Its name.
    pub name: String,
    /// Where it lives.
    pub location: Location,
    /// How its files are written.
    pub format: Format,
    /// Declared columns in normal types, nullable as declared; partition columns included.
    pub schema: SchemaRef,
    /// Columns that any file may lack.
    pub optional: BTreeSet<String>,
    /// What has to hold of each row.
    pub checks: Arc<[Check]>,
    /// When it was declared as it is now. Files that were there then may lack nullable columns.
    pub declared: Time,
    /// What is known of its table, if its format is one.
    pub(crate) table: Arc<delta::Following>,
}

impl SourceConfig {
    /// A source without checks, whose columns have to be in every file that is admitted after
    /// `declared`.
    pub fn new(
        name: String,
        location: Location,
        format: Format,
        schema: SchemaRef,
        declared: Time,
    ) -> SourceConfig {
        let (optional, checks) = (BTreeSet::new(), Arc::from([]));
        let table = Arc::default();
        SourceConfig { name, location, format, schema, optional, checks, declared, table }
    }
}

/// How files are written.
#[derive(Clone, Copy, Debug)]
pub struct Format(&'static dyn FileFormat);

/// All formats. The first is the one that is meant without a word.
static FORMATS: [&dyn FileFormat; 5] =
    [&parquet::Parquet, &json::JsonLines, &csv::Csv, &ipc::ArrowIpc, &delta::DeltaTable];

impl Format {
    /// The format called `name`.
    pub fn named(name: &str) -> Option<Format> {
        FORMATS.into_iter().find(|f| f.name() == name).map(Format)
    }

    /// The names of all formats.
    pub fn names() -> Vec<&'static str> {
        FORMATS.iter().map(|f| f.name()).collect()
    }

    /// Whether a table's log says which files count. Files of a table come and go: its source is
    /// one of mode `replace`.
    pub fn is_table(self) -> bool {
        self.0.is_table()
    }
}

/// One format: which files are its own, which are whole, and what rows they hold.
pub(crate) trait FileFormat: Sync + std::fmt::Debug {
    /// Its name in `format = '…'`.
    fn name(&self) -> &'static str;

    /// Endings of its files' names.
    fn endings(&self) -> &'static [&'static str];

    /// Whether its files are lines of text. Those may also be compressed as a whole, and then their
    /// names end with the compression's ending.
    fn is_text(&self) -> bool {
        false
    }

    /// See [`Format::is_table`].
    fn is_table(&self) -> bool {
        false
    }

    /// Whether a file that begins and ends with these bytes (up to [`list::EDGE_BYTES`] each) looks
    /// whole.
    fn is_whole(&self, head: &[u8], tail: &[u8]) -> bool;

    /// The batches of a file. What cannot be read of it is a fault in one of them.
    fn read(&self, reading: Reading, partition: Partition, bytes: Bytes) -> Batches;
}

/// One-row columns that a file's path says, by name.
pub(crate) type Partition = HashMap<String, ArrayRef>;

/// The batches of a file.
pub(crate) type Batches = Box<dyn Iterator<Item = FileBatch>>;

/// A store and a folder in it.
pub(crate) type Folder = (Arc<dyn ObjectStore>, Path);
