//! The lake's log: one entry per time, a chain at `_tidewatch/log`.
//!
//! [`read_state`] folds it; a [`Sequencer`] appends to it. The epoch of an incarnation is the time
//! of its lead entry: an older leader's put lands before it, and was read, or is lost.

mod sequencer;
mod state;

pub use sequencer::{LogSettings, Nonces, Sequencer};
pub use state::{LakeState, Stated, read_state};

use engine::ports::SourceFile;
use schemas::Time;
use serde::{Deserialize, Serialize};

use crate::lock::Identity;

/// Folder of the entries.
pub(crate) const LOG: &str = "_tidewatch/log";
/// Folder of the folds of all entries up to a time.
pub(crate) const CHECKPOINT: &str = "_tidewatch/checkpoint";

/// What happened at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The time, from 1.
    pub t: Time,
    /// Time of the lead entry of the incarnation that wrote this one.
    pub epoch: Time,
    /// Unique per entry.
    pub nonce: String,
    /// Nonce of entry `t − 1`; empty at 1.
    pub prev: String,
    /// Clock of the leader, microseconds since 1970 UTC; never goes back.
    pub clock_us: i64,
    /// Set if an incarnation begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<Identity>,
    /// Set if the incarnation ends here, cleanly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resign: bool,
    /// Files that come and go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// Statements that are made or dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<Statement>,
}

/// A file that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file; the entry sets when it was admitted.
    pub file: SourceFile,
    /// Which.
    pub op: FileOp,
}

/// Comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileOp {
    /// Its rows count from now on.
    Add,
    /// Its rows count no more.
    Gone,
}

/// A statement of the lake's catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What it defines, as `view revenue`.
    pub id: String,
    /// Its SQL; empty: dropped.
    pub text: String,
    /// What the statement of this id before it committed goes on under it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}
