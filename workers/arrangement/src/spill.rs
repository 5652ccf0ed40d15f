//! Where settled chunks of traces go when they should not stay in memory.
//!
//! Differential settles chunks in a function without context, so a worker thread registers its
//! spill with [`install`]. Without one everything stays in memory. Only chunks of traces are
//! offered; what an arrangement still sorts is not.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::run::Run;
use crate::wire;

/// Takes runs that settled.
pub trait Spill {
    /// Store `run`, or leave it in memory (`None`), for want of need or on an error.
    fn offer(&mut self, run: &Run) -> Option<Arc<dyn Stored>>;
}

/// A run that is not in memory. Dropped when no chunk refers to it any more.
pub trait Stored: Send + Sync {
    /// Read it back.
    ///
    /// # Panics
    /// If it cannot be read: state is lost, and the worker cannot go on.
    fn load(&self) -> Run;
}

thread_local! {
    static SPILL: RefCell<Option<Box<dyn Spill>>> = const { RefCell::new(None) };
}

/// From now on, chunks that settle on this thread are offered to `spill` (to none, if `None`).
/// Returns what was installed before.
pub fn install(spill: Option<Box<dyn Spill>>) -> Option<Box<dyn Spill>> {
    SPILL.with(|installed| installed.replace(spill))
}

pub(crate) fn offer(run: &Run) -> Option<Arc<dyn Stored>> {
    SPILL.with(|installed| installed.borrow_mut().as_mut().and_then(|spill| spill.offer(run)))
}

/// Spills into one file per chunk, which is removed with its last reference.
pub struct FileSpill {
    directory: PathBuf,
    least_rows: usize,
    written: u64,
    failed: u64,
}

impl FileSpill {
    /// Runs of `least_rows` rows or more go to files in `directory`, which exists and is used by
    /// nobody else.
    pub fn new(directory: PathBuf, least_rows: usize) -> Self {
        FileSpill { directory, least_rows, written: 0, failed: 0 }
    }

    /// How many runs stayed in memory because their file could not be written.
    pub fn failed(&self) -> u64 {
        self.failed
    }
}

impl Spill for FileSpill {
    fn offer(&mut self, run: &Run) -> Option<Arc<dyn Stored>> {
        if run.len() < self.least_rows {
            return None;
        }
        let path = self.directory.join(format!("{}.run", self.written));
        self.written += 1;
        let file = StoredFile { path };
        let write = || {
            let mut writer = BufWriter::new(File::create_new(&file.path)?);
            wire::write_run(run, &mut writer)?;
            writer.flush()
        };
        if write().is_err() {
            self.failed += 1;
            return None;
        }
        Some(Arc::new(file))
    }
}

struct StoredFile {
    path: PathBuf,
}

impl Stored for StoredFile {
    fn load(&self) -> Run {
        let read = || wire::read_run(BufReader::new(File::open(&self.path)?));
        read().unwrap_or_else(|e| panic!("spilled chunk '{}': {e}", self.path.display()))
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        // A file left behind costs disk, not correctness.
        let _ = std::fs::remove_file(&self.path);
    }
}
