//! Where the engine meets the outside: files come in, view files go out.
//!
//! No engine type leaks out, no client type leaks in. Calls block the worker that makes them;
//! adapters bring their own retries and deadlines, and an outage that outlives them comes back as
//! an error whose `kind` says what to do.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use schemas::{Diff, Time};
use serde::{Deserialize, Serialize};

/// A file of a source, as an entry of the log admitted it. (path, etag, size) is its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceFile {
    /// Name of the source.
    pub source: String,
    /// Path within the source's location, `/`-separated.
    pub path: String,
    /// The store's version of the content.
    pub etag: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the entry that admitted it.
    pub admitted: Time,
    /// Clock of that entry, microseconds since 1970 UTC.
    pub admitted_clock_us: i64,
}

/// The etag of files of `<source>_history`, see [`SourceFile::history`].
const HISTORY: &str = "history";

impl SourceFile {
    /// A file of the committed table `<source>_history`, at `path` in the lake. It brings back the
    /// rows of files that are gone: upsert sources keep every version they admitted.
    pub fn history(source: &str, path: String, size: u64) -> SourceFile {
        SourceFile {
            source: source.to_string(),
            path,
            etag: HISTORY.to_string(),
            size,
            admitted: 0,
            admitted_clock_us: 0,
        }
    }

    /// Whether [`SourceFile::history`] made it.
    pub fn is_history(&self) -> bool {
        self.etag == HISTORY
    }
}

/// What happens at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The time.
    pub time: Time,
    /// Files whose rows count from now on. In the first entry of an incarnation: all live files,
    /// and history files for what is gone.
    pub added: Vec<SourceFile>,
    /// Files whose rows count no more.
    pub gone: Vec<SourceFile>,
    /// What is wrong with sources beside the rows of their files. In the first entry of an
    /// incarnation only; `origin` and `file` name source and path.
    pub faults: Vec<Fault>,
}

impl Entry {
    /// Only files that come and go.
    pub fn files(time: Time, added: Vec<SourceFile>, gone: Vec<SourceFile>) -> Entry {
        Entry { time, added, gone, faults: vec![] }
    }
}

/// One batch of a file.
#[derive(Clone, Debug)]
pub struct FileBatch {
    /// Valid rows: the declared columns, in normal types. Of a history file: then admitting time,
    /// path and row number of each row, as in `engine::history_schema`.
    pub rows: RecordBatch,
    /// Row number in the file of each of `rows`, from 0.
    pub row_numbers: Vec<u64>,
    /// Rows that could not be read.
    pub faults: Vec<Fault>,
}

/// A row, or a file, that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// Source or view in which it happened.
    pub origin: String,
    /// File, or empty.
    pub file: String,
    /// Row number in the file, from 0.
    pub row: Option<u64>,
    /// Column or expression, or empty.
    pub column: String,
    /// What is wrong, quoting the value.
    pub reason: String,
}

/// What a caller can do about a failed port call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortErrorKind {
    /// The file is not the one that was logged, or is gone: log that, then go on.
    Gone,
    /// Somebody else leads: stop.
    Fenced,
    /// The outage outlived its retries: stop, start again later.
    Outage,
    /// Credentials or permissions are missing: a person has to act.
    Denied,
    /// What is stored makes no sense: a person has to look.
    Corrupt,
    /// The request makes no sense: change it.
    Invalid,
}

/// A failed port call.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    kind: PortErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PortError {
    /// An error of `kind`; `message` names the object and what to do.
    pub fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        PortError { kind, message: message.into(), source: None }
    }

    /// The same, with its cause.
    pub fn with_source(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> PortError {
        PortError { source: Some(source.into()), ..self }
    }

    /// What to do.
    pub fn kind(&self) -> PortErrorKind {
        self.kind
    }
}

/// The batches of one file, read lazily.
pub type FileBatches = Box<dyn Iterator<Item = Result<FileBatch, PortError>>>;

/// Reads files of sources.
pub trait Reader: Send + Sync {
    /// Open `file` exactly as logged.
    ///
    /// Content that cannot be parsed is not an error: it becomes faults (a whole unreadable file:
    /// one fault without a row), the same ones on every read.
    ///
    /// # Errors
    /// `Gone` if the file is not the logged one any more (also later, from the iterator);
    /// `Outage`, `Denied`.
    fn open(&self, file: &SourceFile) -> Result<FileBatches, PortError>;
}

/// Where views go. One per process.
pub trait Sink: Send + Sync {
    /// The part of a view's table that this worker owns.
    fn writer(&self, view: &ViewSpec, worker: WorkerId) -> Result<Box<dyn ViewWriter>, PortError>;
    /// The one that commits for all; asked for on worker 0 of process 0 only.
    fn committer(&self, views: &[ViewSpec]) -> Result<Box<dyn Committer>, PortError>;
}

/// A view whose rows are committed.
#[derive(Clone, Debug)]
pub struct ViewSpec {
    /// Its name.
    pub name: String,
    /// Its columns, normal types.
    pub schema: SchemaRef,
    /// The column its table is bucketed by.
    pub time_column: Option<usize>,
}

/// Which worker, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId {
    /// From 0.
    pub index: usize,
    /// All workers of all processes.
    pub peers: usize,
}

/// Writes one worker's share of a view. Rows arrive at the worker that [`ViewWriter::route`] names.
pub trait ViewWriter {
    /// A number per row; rows with equal numbers meet on one worker (number modulo peers). A pure
    /// function of the rows and of the table's layout, the same in every process.
    fn route(&self, columns: &[ArrayRef]) -> Result<Vec<u64>, PortError>;
    /// Changes that belong to the next staged time. `diffs` has one entry per row.
    fn push(&mut self, rows: RecordBatch, diffs: &[Diff]) -> Result<(), PortError>;
    /// Write the files that make the table right at `time`, and say which. The first call of an
    /// incarnation has seen the whole view as insertions, and compares it with all that is
    /// committed; later calls rewrite what changed.
    fn stage(&mut self, time: Time) -> Result<Staged, PortError>;
}

/// Files of one worker for one view, ready to be committed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Staged {
    /// The view.
    pub view: String,
    /// The time at which they make it right.
    pub time: Time,
    /// Rows inserted and deleted since the last staged time.
    pub rows_inserted: u64,
    /// See `rows_inserted`.
    pub rows_deleted: u64,
    /// The sink's own description of the files.
    pub files: serde_json::Value,
}

/// Commits what all workers staged, then tells the readers.
pub trait Committer {
    /// Commit every view at `time` and publish it. `staged` holds what all workers staged since
    /// the last call; a view may have several entries of one worker, oldest first.
    ///
    /// # Errors
    /// `Fenced` if another incarnation took over.
    fn commit(&mut self, time: Time, staged: Vec<Staged>) -> Result<(), PortError>;
}
