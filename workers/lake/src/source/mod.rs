//! Sources: folders of files that become rows.
//!
//! [`location`] opens where a source lives, [`mod@list`] says which files are there and ready,
//! [`reader`] reads one exactly as it was logged. What cannot be read is a fault with file, row
//! and column; the rest of the file stays valid.

mod convert;
mod history;
mod hive;
mod json;
pub mod list;
pub mod location;
mod parquet;
pub mod reader;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use object_store::ObjectStore;
use object_store::path::Path;

pub use history::history;
pub use list::{Listed, changes, list, ready};
pub use location::{Location, open_location};
pub use reader::LakeReader;

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
}

/// How files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// One JSON object per line.
    JsonLines,
}

impl Format {
    /// Endings of files of this format.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Format::Parquet => &[".parquet"],
            Format::JsonLines => &[".jsonl", ".ndjson", ".json"],
        }
    }
}

/// A store and a folder in it.
pub(crate) type Folder = (Arc<dyn ObjectStore>, Path);
