//! The fold of the log.

use std::collections::BTreeMap;

use engine::ports::SourceFile;
use schemas::Time;
use serde::{Deserialize, Serialize};

use super::{CHECKPOINT, FileOp, LOG, LogEntry};
use crate::chain::Chain;
use crate::error::{LakeError, Result};
use crate::lock::Identity;
use crate::store::Store;

/// Readings of a log that truncation cuts meanwhile, before it counts as broken.
const READS_MAX: usize = 10;

/// What the log says at `t`. Also the content of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeState {
    /// Time of the last entry; 0: the log is empty.
    pub t: Time,
    /// Time of the last lead entry.
    pub epoch: Time,
    /// Clock of the last entry, microseconds since 1970 UTC.
    pub clock_us: i64,
    /// Nonce of the last entry.
    pub nonce: String,
    /// Who wrote the last lead entry.
    pub leader: Option<Identity>,
    /// Whether the last entry ended its incarnation.
    pub resigned: bool,
    /// Statements in force, by id.
    pub statements: BTreeMap<String, Stated>,
    /// Live files, by source and path.
    pub files: BTreeMap<String, BTreeMap<String, SourceFile>>,
    /// Files that were deleted or overwritten, by source and path, and when that was logged last.
    /// What they brought to an upsert source is in its history only; to an append source their
    /// loss is a fault.
    #[serde(default)]
    pub lost: BTreeMap<String, BTreeMap<String, Time>>,
}

/// A statement in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// When it was made. Of a view: its `t0`, which names its table.
    pub t: Time,
    /// When the first of the statements was made that it continues, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Its SQL.
    pub text: String,
}

impl LakeState {
    /// All live files, by source, then path.
    pub fn live_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.values().flat_map(BTreeMap::values)
    }

    /// Apply the next entry.
    ///
    /// # Errors
    /// `Corrupt` if it does not follow: its time, predecessor, epoch or clock.
    pub fn apply(&mut self, entry: &LogEntry) -> Result<()> {
        let epoch = if entry.lead.is_some() { entry.t } else { self.epoch };
        let follows = entry.t == self.t + 1
            && entry.prev == self.nonce
            && entry.epoch == epoch
            && entry.clock_us >= self.clock_us;
        if !follows {
            let reason = format!("entry {} does not follow entry {}", entry.t, self.t);
            return Err(LakeError::corrupt(LOG, reason));
        }
        self.t = entry.t;
        self.epoch = epoch;
        self.clock_us = entry.clock_us;
        self.nonce.clone_from(&entry.nonce);
        self.resigned = entry.resign;
        if entry.lead.is_some() {
            self.leader.clone_from(&entry.lead);
        }
        for change in &entry.files {
            let file = &change.file;
            let files = self.files.entry(file.source.clone()).or_default();
            match change.op {
                FileOp::Add => drop(files.insert(file.path.clone(), file.clone())),
                FileOp::Gone => {
                    files.remove(&file.path);
                    let lost = self.lost.entry(file.source.clone()).or_default();
                    lost.insert(file.path.clone(), entry.t);
                }
            }
        }
        self.files.retain(|_, files| !files.is_empty());
        for s in &entry.statements {
            if s.text.is_empty() {
                self.statements.remove(&s.id);
            } else {
                let before = self.statements.get(&s.id).filter(|_| s.continues);
                let since = before.map(|b| b.since.unwrap_or(b.t));
                let stated = Stated { t: entry.t, since, text: s.text.clone() };
                self.statements.insert(s.id.clone(), stated);
            }
        }
        Ok(())
    }
}

/// What the log says now.
///
/// # Errors
/// `Corrupt` if an entry is missing that no truncation explains, or does not follow.
pub async fn read_state(store: &Store) -> Result<LakeState> {
    for _ in 0..READS_MAX {
        if let Some(state) = try_read(store).await? {
            return Ok(state);
        }
    }
    Err(LakeError::corrupt(LOG, "an entry is missing"))
}

/// `None` if a truncation cut what was being read.
async fn try_read(store: &Store) -> Result<Option<LakeState>> {
    let (log, checkpoints) = (Chain::new(store, LOG), Chain::new(store, CHECKPOINT));
    let mut state = LakeState::default();
    if let Some(t) = checkpoints.numbers_after(None).await?.last() {
        let Some(bytes) = checkpoints.get(*t).await? else { return Ok(None) };
        state = parse(&checkpoints.name(*t), &bytes)?;
    }
    let after = (state.t > 0).then_some(state.t);
    for t in log.numbers_after(after).await? {
        if t != state.t + 1 {
            return Ok(None);
        }
        let Some(bytes) = log.get(t).await? else { return Ok(None) };
        state.apply(&parse(&log.name(t), &bytes)?)?;
    }
    Ok(Some(state))
}

fn parse<T: for<'a> Deserialize<'a>>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| LakeError::corrupt(name, e))
}
