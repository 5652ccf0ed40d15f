//! What changes of a view do to its files: arithmetic on rows, without a store.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use schemas::Diff;

use super::changes::{Changes, Place, Row, RowHash, consolidate, equal, gather, show, total};
use super::codec::{Codec, Encoded};
use super::layout::Owned;
use crate::error::{LakeError, Result};

/// Rows of one bucket whose hashes lie in one range: a file, once it is written.
pub(crate) struct Part {
    pub bucket: i64,
    pub lo: u64,
    pub hi: u64,
    rows: Vec<Row>,
    batches: Arc<Vec<RecordBatch>>,
}

impl Part {
    /// Number of rows, and the sum of their hashes.
    pub(crate) fn total(&self) -> (u64, u128) {
        let (count, digest) = total(&self.rows);
        (count.unsigned_abs(), digest)
    }

    /// Its file.
    pub(crate) fn encode(&self, codec: &Codec) -> Result<Encoded> {
        codec.encode(&self.batches, &self.rows)
    }
}

/// What becomes of some files.
#[derive(Default)]
pub(crate) struct Plan {
    /// Files that are right as they are.
    pub kept: Vec<Owned>,
    /// Names of files that go.
    pub removed: Vec<String>,
    /// Files that come.
    pub parts: Vec<Part>,
    /// Rows that came.
    pub inserted: u64,
    /// Rows that went.
    pub deleted: u64,
}

/// How a view is laid out.
pub(crate) struct Rules {
    pub view: String,
    pub codec: Codec,
    pub hash: RowHash,
    /// Rows above which a file is split.
    pub file_rows_max: usize,
}

/// Changes of one bucket that fall into one range of hashes: a file's, or a gap between files.
pub(crate) struct Touched {
    pub bucket: i64,
    pub range: (u64, u64),
    pub rows: Vec<Row>,
}

impl Rules {
    /// The rows at `places` are all there is in `bucket`, of which `committed` is there.
    pub(crate) fn compare(
        &self,
        changes: &Changes,
        bucket: i64,
        places: Vec<Place>,
        committed: Vec<Owned>,
    ) -> Result<Plan> {
        let rows = consolidate(changes.batches(), changes.rows(places));
        if let Some(row) = rows.iter().find(|r| r.copies < 0) {
            return Err(self.missing(changes.batches(), row.place, row.copies));
        }
        let (count, digest) = total(&rows);
        let mut plan = Plan { inserted: count.unsigned_abs(), ..Plan::default() };
        let held = committed.iter().fold((0u64, 0u128), |(n, d), file| {
            (n.saturating_add(file.rows), d.wrapping_add(file.digest))
        });
        if held == (plan.inserted, digest) {
            plan.kept = committed;
        } else {
            plan.removed = committed.into_iter().map(|file| file.path).collect();
            let batches = changes.batches().clone();
            plan.parts = self.split(Part { bucket, lo: 0, hi: u64::MAX, rows, batches });
        }
        Ok(plan)
    }

    /// Apply consolidated changes to the file that owns their range, if there is one: its
    /// description and its bytes.
    pub(crate) fn rewrite(
        &self,
        changes: &Changes,
        touched: Touched,
        file: Option<(Owned, Bytes)>,
    ) -> Result<Plan> {
        let Touched { bucket, range: (lo, hi), mut rows } = touched;
        let copies = |keep: fn(Diff) -> bool| {
            rows.iter().map(|r| r.copies).filter(|n| keep(*n)).map(Diff::unsigned_abs).sum()
        };
        let (inserted, deleted) = (copies(|n| n > 0), copies(|n| n < 0));
        let mut plan = Plan { inserted, deleted, ..Plan::default() };
        let Some((owned, bytes)) = file else {
            if let Some(row) = rows.iter().find(|r| r.copies < 0) {
                return Err(self.missing(changes.batches(), row.place, row.copies));
            }
            let batches = changes.batches().clone();
            plan.parts = self.split(Part { bucket, lo, hi, rows, batches });
            return Ok(plan);
        };
        // What changed becomes the first batch, the file's rows follow.
        let places: Vec<Place> = rows.iter().map(|r| r.place).collect();
        let schema = self.codec.schema();
        let changed = gather(schema, changes.batches(), &places)
            .map_err(|e| LakeError::corrupt(format!("view {}", self.view), e))?;
        for (row, r) in (0u32..).zip(&mut rows) {
            r.place = Place { batch: 0, row };
        }
        let mut batches = vec![changed];
        batches.extend(self.codec.decode(&owned.path, bytes)?);
        let old = self.rows_of(&owned, &batches[1..])?;
        let rows = self.apply(&batches, old, rows)?;
        plan.removed.push(owned.path);
        plan.parts = self.split(Part { bucket, lo, hi, rows, batches: Arc::new(batches) });
        Ok(plan)
    }

    /// The rows of a file's batches, which are numbered from 1.
    fn rows_of(&self, owned: &Owned, batches: &[RecordBatch]) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for (batch, b) in (1u32..).zip(batches) {
            let hashes = (self.hash)(b.columns(), b.num_rows());
            let row = |(row, hash)| Row { hash, place: Place { batch, row }, copies: 1 };
            rows.extend((0u32..).zip(hashes).map(row));
        }
        let (count, digest) = total(&rows);
        if (count.unsigned_abs(), digest) != (owned.rows, owned.digest) {
            let reason = "it does not hold the rows its tags name: restore it from a copy, or drop \
                          the view and create it again";
            return Err(LakeError::corrupt(&owned.path, reason));
        }
        Ok(rows)
    }

    /// `old` rows, each copy an entry, without those that `changed` deletes and with those it
    /// inserts.
    fn apply(
        &self,
        batches: &[RecordBatch],
        mut old: Vec<Row>,
        changed: Vec<Row>,
    ) -> Result<Vec<Row>> {
        let (mut deletions, inserted): (Vec<Row>, Vec<Row>) =
            changed.into_iter().partition(|r| r.copies < 0);
        let mut of_hash: HashMap<u128, Vec<usize>> = HashMap::new();
        for (at, row) in deletions.iter().enumerate() {
            of_hash.entry(row.hash).or_default().push(at);
        }
        old.retain(|row| {
            let candidates = of_hash.get(&row.hash).map_or(&[][..], Vec::as_slice);
            let wanted = candidates.iter().find(|at| {
                let deletion = &deletions[**at];
                deletion.copies < 0 && equal(batches, deletion.place, row.place)
            });
            if let Some(at) = wanted {
                deletions[*at].copies += 1;
            }
            wanted.is_none()
        });
        if let Some(row) = deletions.iter().find(|r| r.copies < 0) {
            return Err(self.missing(batches, row.place, row.copies));
        }
        old.extend(inserted);
        Ok(old)
    }

    /// `part`, or several if it has many rows.
    fn split(&self, part: Part) -> Vec<Part> {
        let (mut todo, mut parts) = (vec![part], vec![]);
        while let Some(part) = todo.pop() {
            let (count, _) = part.total();
            let high = |row: &Row| (row.hash >> 64) as u64;
            // Copies of one row cannot be split.
            let alike = part.rows.windows(2).all(|two| high(&two[0]) == high(&two[1]));
            if count <= self.file_rows_max as u64 || alike || part.lo == part.hi {
                parts.extend((count > 0).then_some(part));
                continue;
            }
            let Part { bucket, lo, hi, rows, batches } = part;
            let middle = lo + (hi - lo) / 2;
            let (low, top): (Vec<Row>, Vec<Row>) =
                rows.into_iter().partition(|row| high(row) <= middle);
            let half = |lo, hi, rows| Part { bucket, lo, hi, rows, batches: batches.clone() };
            todo.push(half(lo, middle, low));
            todo.push(half(middle + 1, hi, top));
        }
        parts
    }

    fn missing(&self, batches: &[RecordBatch], place: Place, copies: Diff) -> LakeError {
        let shown = show(batches, place);
        let reason = format!("{copies} copies of row ({shown}) would be there");
        LakeError::corrupt(format!("view {}", self.view), reason)
    }
}

#[cfg(test)]
mod tests {
    use arrangement::Budget;
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::super::layout::row_hashes;
    use super::*;

    type Pair = (i64, Option<String>);

    /// Only four hashes: most rows collide.
    fn poor(columns: &[ArrayRef], rows: usize) -> Vec<u128> {
        row_hashes(columns, rows).into_iter().map(|h| h & (3 << 64)).collect()
    }

    fn rules(hash: RowHash, file_rows_max: usize) -> Rules {
        let k = Field::new("k", DataType::Int64, true);
        let s = Field::new("s", DataType::Utf8, true);
        let codec = Codec::new(&Arc::new(Schema::new(vec![k, s])), None).expect("plain types");
        Rules { view: "v".to_string(), codec, hash, file_rows_max }
    }

    fn batch(rules: &Rules, pairs: &[Pair]) -> RecordBatch {
        let k = Int64Array::from_iter_values(pairs.iter().map(|p| p.0));
        let s = StringArray::from_iter(pairs.iter().map(|p| p.1.as_deref()));
        let columns: Vec<ArrayRef> = vec![Arc::new(k), Arc::new(s)];
        RecordBatch::try_new(rules.codec.schema().clone(), columns).expect("fits")
    }

    /// No memory at all: what waits lies on disk.
    fn disk() -> Budget {
        Budget::new(&std::env::temp_dir(), 0).expect("a folder for temporary files")
    }

    fn changes(rules: &Rules, pushed: &[Vec<(Pair, i64)>]) -> Changes {
        let mut changes = Changes::new(rules.hash, &disk());
        for part in pushed {
            let (pairs, diffs): (Vec<Pair>, Vec<i64>) = part.iter().cloned().unzip();
            changes.push(batch(rules, &pairs), &diffs).expect("fits");
        }
        changes
    }

    /// The plan for one file, if any, that owns all there is.
    fn rewritten(
        rules: &Rules,
        changes: &Changes,
        file: Option<(Owned, Bytes)>,
    ) -> Result<Vec<(Owned, Bytes)>> {
        let places = changes.by_bucket(|c| vec![0; c[0].len()]).remove(&0).unwrap_or_default();
        let rows = consolidate(changes.batches(), changes.rows(places));
        let touched = Touched { bucket: 0, range: (0, u64::MAX), rows };
        let plan = rules.rewrite(changes, touched, file)?;
        let encoded = plan.parts.into_iter().map(|part| {
            let (rows, digest) = part.total();
            let Part { bucket, lo, hi, .. } = part;
            let owned = Owned { path: "f".to_string(), bucket, lo, hi, rows, digest };
            Ok((owned, part.encode(&rules.codec)?.bytes))
        });
        encoded.collect()
    }

    fn pairs(rules: &Rules, bytes: &Bytes) -> BTreeMap<Pair, i64> {
        let mut all = BTreeMap::new();
        for batch in rules.codec.decode("f", bytes.clone()).expect("own file") {
            let (k, s) = (batch.column(0), batch.column(1));
            let (k, s) = (k.as_primitive::<Int64Type>(), s.as_string::<i32>());
            for (k, s) in k.values().iter().zip(s) {
                *all.entry((*k, s.map(str::to_string))).or_default() += 1;
            }
        }
        all
    }

    #[test]
    fn rows_whose_hashes_collide_are_neither_merged_nor_lost() {
        let rules = rules(poor, usize::MAX);
        let mut rng = StdRng::seed_from_u64(1);
        let draw = |rng: &mut StdRng| {
            (
                rng.random_range(0..4),
                rng.random_bool(0.7).then(|| rng.random_range(0..3).to_string()),
            )
        };
        let mut model: BTreeMap<Pair, i64> = BTreeMap::new();
        let mut file = None;
        for round in 0..200 {
            let mut pushed = vec![];
            for _ in 0..3 {
                let mut part = vec![];
                for _ in 0..rng.random_range(0..10) {
                    let (pair, copies) = (draw(&mut rng), rng.random_range(-2..4));
                    let held = model.entry(pair.clone()).or_default();
                    let copies = copies.max(-*held);
                    *held += copies;
                    part.push((pair, copies));
                }
                pushed.push(part);
            }
            model.retain(|_, copies| *copies != 0);
            let changes = changes(&rules, &pushed);
            let mut files = rewritten(&rules, &changes, file).expect("rows are there");
            file = files.pop();
            assert!(files.is_empty());
            let got = file.as_ref().map(|(_, bytes)| pairs(&rules, bytes)).unwrap_or_default();
            assert_eq!(got, model, "round {round}");
        }
    }

    #[test]
    fn a_row_that_is_not_there_cannot_go() {
        let rules = rules(row_hashes, 10);
        let pair = |k| (k, Some("x".to_string()));
        let insert = changes(&rules, &[vec![(pair(1), 2)]]);
        let file = rewritten(&rules, &insert, None).expect("inserts").pop();
        for (k, copies) in [(1, -3), (2, -1)] {
            let delete = changes(&rules, &[vec![(pair(k), copies)]]);
            let error = rewritten(&rules, &delete, file.clone()).expect_err("too few");
            let wanted = format!("-1 copies of row ({k}, x) would be there");
            assert!(error.to_string().contains(&wanted), "{error}");
        }
    }

    #[test]
    fn a_file_of_other_rows_than_its_tags_name_is_refused() {
        let rules = rules(row_hashes, 10);
        let insert = |k| changes(&rules, &[vec![((k, None), 1)]]);
        let (owned, _) = rewritten(&rules, &insert(1), None).expect("inserts").remove(0);
        let (_, other) = rewritten(&rules, &insert(2), None).expect("inserts").remove(0);
        let error = rewritten(&rules, &insert(3), Some((owned, other))).expect_err("altered");
        assert!(error.to_string().contains("its tags"), "{error}");
    }

    #[test]
    fn changes_that_undo_each_other_take_no_memory() {
        let rules = rules(row_hashes, 10);
        let mut changes = Changes::new(rules.hash, &disk());
        for round in 0..300 {
            let pairs: Vec<Pair> = (0..1_000).map(|k| (k, None)).collect();
            // Every second round undoes the one before.
            let pairs = batch(&rules, &pairs);
            let diff = if round % 2 == 0 { -1 } else { 1 };
            changes.push(pairs, &[diff; 1_000]).expect("fits");
        }
        let held: usize = changes.batches().iter().map(RecordBatch::num_rows).sum();
        assert!(held < 150_000, "{held} rows held");
        let places = changes.by_bucket(|c| vec![0; c[0].len()]).remove(&0).unwrap_or_default();
        assert_eq!(consolidate(changes.batches(), changes.rows(places)).len(), 0);
    }
}
