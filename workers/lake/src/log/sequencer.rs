//! The one that appends: leads, logs, resigns.

use std::time::Duration;

use bytes::Bytes;
use engine::ports::{Entry, SourceFile};
use serde::Serialize;

use super::{CHECKPOINT, FileChange, FileOp, LOG, LakeState, LogEntry, Statement, read_state};
use crate::chain::{Chain, Created};
use crate::error::{LakeError, Result};
use crate::lock::{Identity, LakeLock};
use crate::store::Store;

/// Draws a text that no other call, in any process, draws again.
pub type Nonces = Box<dyn FnMut() -> String + Send>;

/// Folder of the objects by which a store is tried.
const PROBE: &str = "_tidewatch/probe";
/// Heartbeats without an entry after which a leader counts as gone.
const HEARTBEATS_MISSED: u64 = 3;
/// How far the clock may be from the store's, microseconds.
const CLOCK_SKEW_MAX_US: i64 = 300_000_000;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Milliseconds within which a leader appends at least once.
    pub heartbeat_ms: u64,
    /// Entries between two checkpoints.
    pub checkpoint_entries: u64,
    /// Lead even if another process seems to. It is fenced by the entry in any case.
    pub take_over: bool,
}

/// The leader's end of the log. One append at a time; after an error it is of no use.
pub struct Sequencer {
    log: Chain,
    checkpoints: Chain,
    state: LakeState,
    nonces: Nonces,
    settings: LogSettings,
    failed: bool,
    _lock: Option<LakeLock>,
}

impl Sequencer {
    /// Become the leader of `store`: append a lead entry. `clock` says the microseconds since
    /// 1970 UTC.
    ///
    /// A local lake is held by a lock, so a free lock means: start at once. Elsewhere a head that
    /// did not resign and is young is watched for three heartbeats; if it moves, somebody leads.
    ///
    /// # Errors
    /// `Held` if somebody leads; `Invalid` if the store breaks put-if-absent, or the clock is more
    /// than five minutes from the store's.
    pub async fn lead(
        store: &Store,
        identity: Identity,
        settings: LogSettings,
        mut nonces: Nonces,
        clock: &mut (dyn FnMut() -> i64 + Send),
    ) -> Result<(Sequencer, LakeState)> {
        let lock = match &store.local {
            Some(folder) => Some(LakeLock::acquire(folder, &identity)?),
            None => {
                probe(store, &nonces()).await?;
                None
            }
        };
        let mut sequencer = Sequencer {
            log: Chain::new(store, LOG),
            checkpoints: Chain::new(store, CHECKPOINT),
            state: LakeState::default(),
            nonces,
            settings,
            failed: false,
            _lock: lock,
        };
        loop {
            sequencer.state = read_state(store).await?;
            if store.local.is_none() && !sequencer.settings.take_over {
                sequencer.watch(store, clock()).await?;
            }
            let mut entry = sequencer.next_entry(clock());
            entry.epoch = entry.t;
            entry.lead = Some(identity.clone());
            if sequencer.put(&entry).await? {
                let state = sequencer.state.clone();
                if store.local.is_none() {
                    sequencer.compare_clocks(store, clock()).await?;
                }
                return Ok((sequencer, state));
            }
        }
    }

    /// Refuse if the head moves.
    async fn watch(&mut self, store: &Store, now_us: i64) -> Result<()> {
        let patience_ms = HEARTBEATS_MISSED * self.settings.heartbeat_ms;
        let age_ms = (now_us - self.state.clock_us) / 1000;
        let silent = age_ms > i64::try_from(patience_ms).unwrap_or(i64::MAX);
        if self.state.t == 0 || self.state.resigned || silent {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(patience_ms)).await;
        let seen = read_state(store).await?;
        if seen.t > self.state.t && !seen.resigned {
            let leader = seen.leader.map_or("another process".to_string(), |l| l.to_string());
            let holder = format!("{leader}, whose last entry is {}", seen.t);
            return Err(LakeError::Held { lake: store.inner.to_string(), holder });
        }
        self.state = seen;
        Ok(())
    }

    async fn compare_clocks(&self, store: &Store, now_us: i64) -> Result<()> {
        let name = self.log.name(self.state.t);
        let listed = store.list(LOG, None).await?;
        let Some(entry) = listed.iter().find(|o| o.name == name) else { return Ok(()) };
        if (entry.modified_us - now_us).abs() <= CLOCK_SKEW_MAX_US {
            return Ok(());
        }
        Err(LakeError::Invalid(format!(
            "this machine's clock says {now_us} µs, the store's says {} µs: set the clock",
            entry.modified_us
        )))
    }

    /// What the log says, up to the last own entry.
    pub fn state(&self) -> &LakeState {
        &self.state
    }

    /// Append an entry and return it, with the files as admitted. An empty one is a heartbeat.
    ///
    /// # Errors
    /// `Fenced` if somebody else leads now; an outage whose outcome is unknown. Either ends the
    /// process.
    pub async fn append(
        &mut self,
        added: Vec<SourceFile>,
        gone: Vec<SourceFile>,
        statements: Vec<Statement>,
        clock_us: i64,
    ) -> Result<Entry> {
        let mut entry = self.next_entry(clock_us);
        let mut added = added;
        for file in &mut added {
            file.admitted = entry.t;
            file.admitted_clock_us = entry.clock_us;
        }
        let change = |op| move |file: &SourceFile| FileChange { file: file.clone(), op };
        let goes = gone.iter().map(change(FileOp::Gone));
        entry.files = goes.chain(added.iter().map(change(FileOp::Add))).collect();
        entry.statements = statements;
        self.append_entry(&entry).await?;
        if entry.t.is_multiple_of(self.settings.checkpoint_entries.max(1))
            && let Err(error) = self.checkpoint().await
        {
            tracing::warn!(%error, t = entry.t, "the log could not be cut; the next try follows");
        }
        Ok(Entry::files(entry.t, added, gone))
    }

    /// End the incarnation, so that the next one need not wait.
    pub async fn resign(mut self, clock_us: i64) -> Result<()> {
        let mut entry = self.next_entry(clock_us);
        entry.resign = true;
        self.append_entry(&entry).await
    }

    fn next_entry(&mut self, clock_us: i64) -> LogEntry {
        LogEntry {
            t: self.state.t + 1,
            epoch: self.state.epoch,
            nonce: (self.nonces)(),
            prev: self.state.nonce.clone(),
            clock_us: clock_us.max(self.state.clock_us),
            lead: None,
            resign: false,
            files: vec![],
            statements: vec![],
        }
    }

    async fn append_entry(&mut self, entry: &LogEntry) -> Result<()> {
        let fenced =
            |t| LakeError::Fenced(format!("entry {t} of the log is another leader's: start again"));
        if self.failed {
            return Err(fenced(entry.t));
        }
        self.failed = true;
        if !self.put(entry).await? {
            return Err(fenced(entry.t));
        }
        self.failed = false;
        Ok(())
    }

    /// Rule P at the head. `false` if the slot, or one behind it, is another's.
    async fn put(&mut self, entry: &LogEntry) -> Result<bool> {
        let created = self.log.create(entry.t, &json(&self.log.name(entry.t), entry)?).await?;
        if created == Created::Lost || self.log.fenced_after(entry.t).await? {
            return Ok(false);
        }
        self.state.apply(entry)?;
        Ok(true)
    }

    /// Write the fold at the last entry, then delete the entries before it. Keeps two checkpoints.
    async fn checkpoint(&self) -> Result<()> {
        let t = self.state.t;
        let body = json(&self.checkpoints.name(t), &self.state)?;
        // Lost is fine: a checkpoint is a function of the entries, whoever wrote it.
        self.checkpoints.create(t, &body).await?;
        for old in self.log.numbers_after(None).await?.into_iter().filter(|n| *n < t) {
            self.log.delete(old).await?;
        }
        let numbers = self.checkpoints.numbers_after(None).await?;
        for old in numbers.iter().rev().skip(2) {
            self.checkpoints.delete(*old).await?;
        }
        Ok(())
    }
}

/// Refuse a store that ignores `If-None-Match`. Answers get lost: what is there afterwards decides.
async fn probe(store: &Store, nonce: &str) -> Result<()> {
    let probe = Chain::new(store, format!("{PROBE}/{nonce}"));
    let (first, second) = (Bytes::from(format!("first {nonce}")), Bytes::from("second"));
    probe.create(0, &first).await?;
    let _ = store.put_new(&probe.name(0), second).await;
    let there = probe.get(0).await?;
    probe.delete(0).await?;
    match there.is_none_or(|there| there == first) {
        true => Ok(()),
        false => Err(LakeError::Invalid(format!(
            "store '{}' ignores put-if-absent (If-None-Match): use one that supports it",
            store.inner
        ))),
    }
}

fn json<T: Serialize>(name: &str, value: &T) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| LakeError::corrupt(name, e))
}
