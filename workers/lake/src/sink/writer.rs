//! One worker's share of a view.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use engine::ports::{PortError, PortErrorKind, Staged, ViewSpec, ViewWriter, WorkerId};
use schemas::{Diff, Time};
use tokio::runtime::Handle;

use super::layout::{Owned, buckets, row_hash, spread};
use super::rows::{Codec, Multiset};
use super::{DeltaSink, Outside, SinkSettings, StagedFiles};
use crate::delta::{Add, Table, delta_schema};
use crate::error::{LakeError, Result};
use crate::store::Store;

pub(crate) struct Writer {
    store: Store,
    runtime: Handle,
    settings: SinkSettings,
    outside: Outside,
    view: String,
    folder: String,
    epoch: Time,
    worker: WorkerId,
    time_column: Option<usize>,
    codec: Codec,
    /// Live files of this worker's buckets, in order of (bucket, lo).
    files: BTreeMap<(i64, u64), Owned>,
    /// Changes since the last stage, by bucket.
    pending: BTreeMap<i64, Multiset>,
    /// Nothing was staged yet: what comes is the whole view.
    first: bool,
}

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
        let codec = Codec::new(&view.schema).map_err(|e| {
            let message = format!("view '{}' cannot be stored", view.name);
            PortError::new(PortErrorKind::Invalid, message).with_source(e)
        })?;
        Ok(Writer {
            store: sink.store.clone(),
            runtime: sink.runtime.clone(),
            settings: sink.settings.clone(),
            outside: sink.outside.clone(),
            view: view.name.clone(),
            folder,
            epoch: sink.incarnation.epoch,
            worker,
            time_column: view.time_column,
            codec,
            files,
            pending: BTreeMap::new(),
            first: true,
        })
    }

    fn buckets(&self, columns: &[ArrayRef]) -> Vec<i64> {
        let rows = columns.first().map_or(0, |c| c.len());
        let time = self.time_column.map(|c| &columns[c]);
        buckets(time, rows, self.settings.bucket_days)
    }

    /// The first stage: the pending rows are all there is.
    async fn compare(&mut self, t: Time) -> Result<StagedFiles> {
        let mut staged = StagedFiles::default();
        let pending = std::mem::take(&mut self.pending);
        let mut committed: BTreeMap<i64, Vec<Owned>> = BTreeMap::new();
        for owned in std::mem::take(&mut self.files).into_values() {
            committed.entry(owned.bucket).or_default().push(owned);
        }
        for (bucket, rows) in pending {
            if let Some((row, n)) = rows.iter().find(|(_, n)| **n < 0) {
                return Err(self.missing(row, *n));
            }
            let (count, digest) = sum(&rows);
            let there = committed.remove(&bucket).unwrap_or_default();
            let held =
                there.iter().fold((0, 0u128), |(n, d), f| (n + f.rows, d.wrapping_add(f.digest)));
            if held == (count, digest) {
                self.files.extend(there.into_iter().map(|f| ((f.bucket, f.lo), f)));
                continue;
            }
            staged.removed.extend(there.into_iter().map(|f| f.path));
            self.write(t, bucket, (0, u64::MAX), rows, &mut staged).await?;
        }
        staged.removed.extend(committed.into_values().flatten().map(|f| f.path));
        Ok(staged)
    }

    /// Later stages: the pending rows are changes.
    async fn rewrite(&mut self, t: Time) -> Result<StagedFiles> {
        let mut staged = StagedFiles::default();
        for (bucket, changes) in std::mem::take(&mut self.pending) {
            let mut ranges: BTreeMap<(u64, u64), Multiset> = BTreeMap::new();
            for (row, n) in changes.into_iter().filter(|(_, n)| *n != 0) {
                let range = self.range(bucket, (row_hash(&row) >> 64) as u64);
                ranges.entry(range).or_default().insert(row, n);
            }
            for (range, changes) in ranges {
                let mut rows = Multiset::new();
                if let Some(owned) = self.files.remove(&(bucket, range.0)) {
                    let name = format!("{}/{}", self.folder, owned.path);
                    rows = self.codec.read(&name, self.store.read(&name).await?)?;
                    staged.removed.push(owned.path);
                }
                for (row, n) in changes {
                    let copies = rows.remove(&row).unwrap_or(0) + n;
                    match copies {
                        0 => {}
                        n if n < 0 => return Err(self.missing(&row, n)),
                        n => drop(rows.insert(row, n)),
                    }
                }
                self.write(t, bucket, range, rows, &mut staged).await?;
            }
        }
        Ok(staged)
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

    /// Write `rows` as one file, or as several if there are many.
    async fn write(
        &mut self,
        t: Time,
        bucket: i64,
        range: (u64, u64),
        rows: Multiset,
        staged: &mut StagedFiles,
    ) -> Result<()> {
        let mut parts = vec![(range, rows)];
        while let Some(((lo, hi), rows)) = parts.pop() {
            let (count, digest) = sum(&rows);
            if count == 0 {
                continue;
            }
            // One row that is there often cannot be split.
            if count > self.settings.file_rows_max as u64 && rows.len() > 1 && hi > lo {
                let middle = lo + (hi - lo) / 2;
                let (low, high) =
                    rows.into_iter().partition(|(r, _)| (row_hash(r) >> 64) as u64 <= middle);
                parts.push(((lo, middle), low));
                parts.push(((middle + 1, hi), high));
                continue;
            }
            let (epoch, worker) = (self.epoch, self.worker.index);
            let path = format!("{epoch:020}-{t:020}-{worker}-{}.parquet", (self.outside.nonce)());
            let bytes = self.codec.write(&rows)?;
            let size = bytes.len() as u64;
            self.store.put(&format!("{}/{path}", self.folder), bytes).await?;
            let owned = Owned { path: path.clone(), bucket, lo, hi, rows: count, digest };
            staged.added.push(Add {
                path,
                partition_values: BTreeMap::new(),
                size,
                modification_time: (self.outside.clock_us)() / 1_000,
                data_change: true,
                stats: format!("{{\"numRecords\":{count}}}"),
                tags: owned.tags(),
            });
            self.files.insert((bucket, lo), owned);
        }
        Ok(())
    }

    fn missing(&self, row: &[u8], copies: i64) -> LakeError {
        let shown = self.codec.show(row);
        let reason = format!("{copies} copies of row ({shown}) would be there");
        LakeError::corrupt(format!("view {}", self.view), reason)
    }
}

/// Rows, and the sum of their hashes.
fn sum(rows: &Multiset) -> (u64, u128) {
    rows.iter().fold((0, 0), |(count, digest), (row, n)| {
        let n = u64::try_from(*n).unwrap_or(0);
        (count + n, digest.wrapping_add(row_hash(row).wrapping_mul(u128::from(n))))
    })
}

impl ViewWriter for Writer {
    fn route(&self, columns: &[ArrayRef]) -> Result<Vec<u64>, PortError> {
        Ok(self.buckets(columns).into_iter().map(spread).collect())
    }

    fn push(&mut self, rows: RecordBatch, diffs: &[Diff]) -> Result<(), PortError> {
        let encoded = self.codec.encode(rows.columns()).map_err(|e| {
            let message = format!("view '{}': rows do not fit its schema", self.view);
            PortError::new(PortErrorKind::Corrupt, message).with_source(e)
        })?;
        let buckets = self.buckets(rows.columns());
        for ((row, bucket), diff) in encoded.iter().zip(buckets).zip(diffs) {
            let rows = self.pending.entry(bucket).or_default();
            *rows.entry(row.data().into()).or_default() += diff;
        }
        Ok(())
    }

    fn stage(&mut self, time: Time) -> Result<Staged, PortError> {
        let counted = |keep: fn(i64) -> bool| -> u64 {
            let all = self.pending.values().flat_map(Multiset::values);
            all.filter(|n| keep(**n)).map(|n| n.unsigned_abs()).sum()
        };
        let (rows_inserted, rows_deleted) = (counted(|n| n > 0), counted(|n| n < 0));
        self.pending.values_mut().for_each(|rows| rows.retain(|_, n| *n != 0));
        let runtime = self.runtime.clone();
        let first = std::mem::replace(&mut self.first, false);
        let staged = match first {
            true => runtime.block_on(self.compare(time))?,
            false => runtime.block_on(self.rewrite(time))?,
        };
        let files = serde_json::to_value(&staged).map_err(|e| {
            PortError::new(PortErrorKind::Invalid, "staged files cannot be named").with_source(e)
        })?;
        Ok(Staged { view: self.view.clone(), time, rows_inserted, rows_deleted, files })
    }
}
