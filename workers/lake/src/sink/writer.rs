//! One worker's share of a view.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use arrangement::Budget;
use arrow::array::{ArrayRef, RecordBatch};
use engine::ports::{PortError, PortErrorKind, Staged, ViewSpec, ViewWriter, WorkerId};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use schemas::{Diff, Time};
use tokio::runtime::Handle;

use super::changes::{Changes, Row, consolidate};
use super::codec::{Codec, Encoded};
use super::layout::{Owned, buckets, spread};
use super::plan::{Part, Plan, Rules, Touched};
use super::{DeltaSink, Outside, SinkSettings, StagedFiles};
use crate::delta::{Add, Table, delta_schema};
use crate::error::{LakeError, Result};
use crate::store::Store;

/// Buckets or old files whose rows are sorted out at once; each holds its rows in memory.
const PLANS_AT_ONCE: usize = 2;
/// Files encoded at once; each holds its encoded rows twice for a moment.
const ENCODED_AT_ONCE: usize = 2;
/// Files put at once; each holds its bytes in memory.
const PUTS_AT_ONCE: usize = 4;

pub(crate) struct Writer {
    store: Store,
    runtime: Handle,
    settings: SinkSettings,
    outside: Outside,
    folder: String,
    epoch: Time,
    worker: WorkerId,
    time_column: Option<usize>,
    rules: Arc<Rules>,
    /// Live files of this worker's buckets, in order of (bucket, lo).
    files: BTreeMap<(i64, u64), Owned>,
    budget: Budget,
    /// Changes since the last stage.
    pending: Changes,
    /// Nothing was staged yet: what comes is the whole view.
    first: bool,
}

type Planned = BoxFuture<'static, Result<Plan>>;

impl Writer {
    pub(crate) fn new(
        sink: &DeltaSink,
        view: &ViewSpec,
        worker: WorkerId,
        folder: String,
        table: Table,
    ) -> Result<Writer, PortError> {
        delta_schema(&view.schema)?;
        let mut files = BTreeMap::new();
        for add in table.files.values() {
            let owned = Owned::of(add)?;
            if spread(owned.bucket) % worker.peers as u64 == worker.index as u64 {
                files.insert((owned.bucket, owned.lo), owned);
            }
        }
        let rules = Rules {
            view: view.name.clone(),
            codec: Codec::new(&view.schema, view.time_column)?,
            hash: sink.hash,
            file_rows_max: sink.settings.file_rows_max,
        };
        Ok(Writer {
            store: sink.store.clone(),
            runtime: sink.runtime.clone(),
            settings: sink.settings.clone(),
            outside: sink.outside.clone(),
            folder,
            epoch: sink.incarnation.epoch,
            worker,
            time_column: view.time_column,
            pending: Changes::new(rules.hash, &sink.budget),
            budget: sink.budget.clone(),
            rules: Arc::new(rules),
            files,
            first: true,
        })
    }

    fn buckets(&self, columns: &[ArrayRef]) -> Vec<i64> {
        let rows = columns.first().map_or(0, |c| c.len());
        let time = self.time_column.map(|c| &columns[c]);
        buckets(time, rows, self.settings.bucket_days)
    }

    /// The first stage: the pending rows are all there is. What becomes of each bucket that has
    /// any, and the names of files of the other ones.
    fn compare(&mut self, changes: &Arc<Changes>) -> (Vec<Planned>, Vec<String>) {
        let mut committed: BTreeMap<i64, Vec<Owned>> = BTreeMap::new();
        for owned in std::mem::take(&mut self.files).into_values() {
            committed.entry(owned.bucket).or_default().push(owned);
        }
        let mut plans: Vec<Planned> = vec![];
        for (bucket, places) in changes.by_bucket(|columns| self.buckets(columns)) {
            let there = committed.remove(&bucket).unwrap_or_default();
            let (rules, changes) = (self.rules.clone(), changes.clone());
            plans.push(compute(move || rules.compare(&changes, bucket, places, there)).boxed());
        }
        (plans, committed.into_values().flatten().map(|f| f.path).collect())
    }

    /// Later stages: the pending rows are changes. What becomes of each file they touch.
    fn rewrite(&mut self, changes: &Arc<Changes>) -> Vec<Planned> {
        let mut plans: Vec<Planned> = vec![];
        for (bucket, places) in changes.by_bucket(|columns| self.buckets(columns)) {
            let mut ranges: BTreeMap<(u64, u64), Vec<Row>> = BTreeMap::new();
            for row in consolidate(changes.batches(), changes.rows(places)) {
                let range = self.range(bucket, (row.hash >> 64) as u64);
                ranges.entry(range).or_default().push(row);
            }
            for (range, rows) in ranges {
                let owned = self.files.remove(&(bucket, range.0));
                let touched = Touched { bucket, range, rows };
                let (rules, changes) = (self.rules.clone(), changes.clone());
                let (store, folder) = (self.store.clone(), self.folder.clone());
                let plan = async move {
                    let mut file = None;
                    if let Some(owned) = owned {
                        let bytes = store.read(&format!("{folder}/{}", owned.path)).await?;
                        file = Some((owned, bytes));
                    }
                    compute(move || rules.rewrite(&changes, touched, file)).await
                };
                plans.push(plan.boxed());
            }
        }
        plans
    }

    /// The range that owns `hash`: a file's, or the gap between files.
    fn range(&self, bucket: i64, hash: u64) -> (u64, u64) {
        let below = self.files.range((bucket, 0)..=(bucket, hash)).next_back().map(|(_, f)| f);
        match below {
            Some(f) if f.hi >= hash => (f.lo, f.hi),
            below => {
                let lo = below.map_or(0, |f| f.hi + 1);
                let above = self.files.range((bucket, hash)..=(bucket, u64::MAX)).next();
                (lo, above.map_or(u64::MAX, |((_, lo), _)| lo - 1))
            }
        }
    }

    /// Carry out plans: a few at once, their files a few at once.
    async fn carry_out(&mut self, t: Time, plans: Vec<Planned>, staged: &mut Done) -> Result<()> {
        let mut kept = vec![];
        let written: Vec<(Add, Owned)> = stream::iter(plans)
            .buffered(PLANS_AT_ONCE)
            .map_ok(|plan| {
                kept.extend(plan.kept);
                staged.files.removed.extend(plan.removed);
                staged.inserted += plan.inserted;
                staged.deleted += plan.deleted;
                stream::iter(plan.parts.into_iter().map(Ok))
            })
            .try_flatten()
            .map_ok(|part| self.encode(part))
            .try_buffered(ENCODED_AT_ONCE)
            .map_ok(|new| self.put(t, new))
            .try_buffered(PUTS_AT_ONCE)
            .try_collect()
            .await?;
        self.files.extend(kept.into_iter().map(|file| ((file.bucket, file.lo), file)));
        for (add, owned) in written {
            staged.files.added.push(add);
            self.files.insert((owned.bucket, owned.lo), owned);
        }
        Ok(())
    }

    /// The file of a part. Its rows are freed before the file is on its way.
    fn encode(&self, part: Part) -> BoxFuture<'static, Result<New>> {
        let rules = self.rules.clone();
        let encode = move || {
            let (rows, digest) = part.total();
            let encoded = part.encode(&rules.codec)?;
            let Part { bucket, lo, hi, .. } = part;
            let path = String::new();
            Ok(New { encoded, owned: Owned { path, bucket, lo, hi, rows, digest } })
        };
        compute(encode).boxed()
    }

    /// Put a file under a name of its own.
    fn put(&self, t: Time, new: New) -> BoxFuture<'static, Result<(Add, Owned)>> {
        let (epoch, worker) = (self.epoch, self.worker.index);
        let path = format!("{epoch:020}-{t:020}-{worker}-{}.parquet", (self.outside.nonce)());
        let name = format!("{}/{path}", self.folder);
        let owned = Owned { path: path.clone(), ..new.owned };
        let add = Add {
            path,
            partition_values: BTreeMap::new(),
            size: new.encoded.bytes.len() as u64,
            modification_time: (self.outside.clock_us)() / 1_000,
            data_change: true,
            stats: new.encoded.stats,
            tags: owned.tags(),
        };
        let store = self.store.clone();
        let put = async move {
            store.put(&name, new.encoded.bytes).await?;
            Ok((add, owned))
        };
        put.boxed()
    }
}

/// A file that is not stored yet, and has no name.
struct New {
    encoded: Encoded,
    owned: Owned,
}

/// What a stage did.
#[derive(Default)]
struct Done {
    files: StagedFiles,
    inserted: u64,
    deleted: u64,
}

/// Run `work` beside the threads that wait for the store.
async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            // A bug there is a bug here.
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(LakeError::Invalid("the process is shutting down".to_string())),
        },
    }
}

impl ViewWriter for Writer {
    fn route(&self, columns: &[ArrayRef]) -> Result<Vec<u64>, PortError> {
        Ok(self.buckets(columns).into_iter().map(spread).collect())
    }

    fn push(&mut self, rows: RecordBatch, diffs: &[Diff]) -> Result<(), PortError> {
        self.pending.push(rows, diffs).map_err(|e| {
            let message = format!("view '{}': rows do not fit its schema", self.rules.view);
            PortError::new(PortErrorKind::Corrupt, message).with_source(e)
        })
    }

    fn stage(&mut self, time: Time) -> Result<Staged, PortError> {
        let changes =
            std::mem::replace(&mut self.pending, Changes::new(self.rules.hash, &self.budget));
        let changes = Arc::new(changes);
        let mut done = Done::default();
        let plans = match std::mem::replace(&mut self.first, false) {
            true => {
                let (plans, removed) = self.compare(&changes);
                done.files.removed = removed;
                plans
            }
            false => self.rewrite(&changes),
        };
        let runtime = self.runtime.clone();
        runtime.block_on(self.carry_out(time, plans, &mut done))?;
        let files = serde_json::to_value(&done.files).map_err(|e| {
            PortError::new(PortErrorKind::Invalid, "staged files cannot be named").with_source(e)
        })?;
        Ok(Staged {
            view: self.rules.view.clone(),
            time,
            rows_inserted: done.inserted,
            rows_deleted: done.deleted,
            files,
        })
    }
}
