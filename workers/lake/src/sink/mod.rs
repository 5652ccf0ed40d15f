//! Views as Delta tables.
//!
//! A file owns the rows of one time bucket whose hash lies in one range. A commit rewrites only
//! the files whose rows changed, so what is written is bounded by what they own, and the number of
//! live files by the size of the view: they need no compaction, and what they replaced goes with
//! [`crate::vacuum`]. No worker keeps a copy of a view: the old content of a file is read back when
//! it changes.

mod changes;
mod codec;
mod committer;
mod layout;
mod plan;
mod stats;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrangement::Budget;
use engine::ports::{Committer, PortError, PortErrorKind, Sink, ViewSpec, ViewWriter, WorkerId};
use schemas::Time;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::delta::{Add, Table};
use crate::store::Store;

/// What a user may tune.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    /// Rows above which a file is split.
    pub file_rows_max: usize,
    /// Days of event time per bucket.
    pub bucket_days: u32,
}

/// Which incarnation writes, and what its views' tables are called.
#[derive(Clone, Debug)]
pub struct Incarnation {
    /// Time of its lead entry.
    pub epoch: Time,
    /// Per view, when it was created: names its folder.
    pub created: BTreeMap<String, Time>,
}

/// Draws texts that no other process draws; says the clock.
#[derive(Clone)]
pub struct Outside {
    /// A text that was never drawn before.
    pub nonce: Arc<dyn Fn() -> String + Send + Sync>,
    /// Microseconds since 1970 UTC.
    pub clock_us: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// The views of a lake.
pub struct DeltaSink {
    store: Store,
    runtime: Handle,
    incarnation: Incarnation,
    settings: SinkSettings,
    outside: Outside,
    budget: Budget,
    hash: changes::RowHash,
}

impl DeltaSink {
    /// A sink for one incarnation. Its calls block their thread, which must not be one of the
    /// runtime's.
    pub fn new(
        store: Store,
        runtime: Handle,
        incarnation: Incarnation,
        settings: SinkSettings,
        outside: Outside,
    ) -> Self {
        let hash = layout::row_hashes;
        let budget = Budget::unlimited();
        DeltaSink { store, runtime, incarnation, settings, outside, budget, hash }
    }

    /// With this much memory for rows that wait to be written.
    pub fn with_budget(self, budget: Budget) -> Self {
        DeltaSink { budget, ..self }
    }

    fn folder(&self, view: &str) -> Result<String, PortError> {
        let created = self.incarnation.created.get(view).ok_or_else(|| {
            PortError::new(PortErrorKind::Invalid, format!("view '{view}' was never created"))
        })?;
        Ok(table_folder(view, *created))
    }
}

/// The folder of the table of `view`, created at `created`.
pub fn table_folder(view: &str, created: Time) -> String {
    format!("views/{view}/{created:020}")
}

impl Sink for DeltaSink {
    fn writer(&self, view: &ViewSpec, worker: WorkerId) -> Result<Box<dyn ViewWriter>, PortError> {
        let folder = self.folder(&view.name)?;
        let table = self.runtime.block_on(Table::load(&self.store, &folder, None))?;
        let writer = writer::Writer::new(self, view, worker, folder, table)?;
        Ok(Box::new(writer))
    }

    fn committer(&self, views: &[ViewSpec]) -> Result<Box<dyn Committer>, PortError> {
        Ok(Box::new(committer::DeltaCommitter::new(self, views)?))
    }
}

/// What a writer hands to the committer.
#[derive(Debug, Default, Serialize, Deserialize)]
struct StagedFiles {
    added: Vec<Add>,
    removed: Vec<String>,
}
