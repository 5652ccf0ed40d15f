//! Rows of a view with how often each comes or goes, in columns.
//!
//! Rows stay in the batches they came in. A row is named by its place and known by its hash; its
//! values are looked at only where two rows share a hash and one of them might undo the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrangement::{Budget, Charge};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch, RecordBatchOptions,
    downcast_primitive,
};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, SchemaRef, ToByteSlice};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use schemas::Diff;

/// Hashes of the rows of some columns, see [`super::layout::row_hashes`]; tests use poor ones.
pub(crate) type RowHash = fn(&[ArrayRef], usize) -> Vec<u128>;

/// Rows below which pending changes are not worth consolidating.
const DENSE_ROWS: usize = 1 << 16;
/// Rows of a batch made by gathering.
pub(crate) const GATHERED_ROWS: usize = 1 << 13;

/// Where a row is: which batch, which row of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub batch: u32,
    pub row: u32,
}

/// A row, and how many copies of it come (or go, if negative).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub hash: u128,
    pub place: Place,
    pub copies: Diff,
}

/// Changes, as they came.
pub(crate) struct Changes {
    hash: RowHash,
    batches: Arc<Vec<RecordBatch>>,
    /// Per batch, of each row.
    hashes: Vec<Vec<u128>>,
    /// Per batch, of each row; none where each row comes once.
    diffs: Vec<Option<Vec<Diff>>>,
    rows: usize,
    retractions: usize,
    /// Rows from which consolidating is tried again.
    dense_at: usize,
    /// Bytes of the batches that are in memory.
    resident: Charge,
}

impl Changes {
    pub(crate) fn new(hash: RowHash, budget: &Budget) -> Changes {
        Changes {
            hash,
            batches: Arc::default(),
            hashes: vec![],
            diffs: vec![],
            rows: 0,
            retractions: 0,
            dense_at: DENSE_ROWS,
            resident: budget.charge(),
        }
    }

    /// Add the rows of a batch; `diffs` has one entry per row.
    pub(crate) fn push(&mut self, batch: RecordBatch, diffs: &[Diff]) -> Result<(), ArrowError> {
        self.add(batch, diffs);
        // Amortised: what is left has to double before it is tried again.
        if self.rows >= self.dense_at && self.retractions * 4 > self.rows {
            self.consolidate()?;
            self.dense_at = DENSE_ROWS.max(2 * self.rows);
        }
        Ok(())
    }

    fn add(&mut self, batch: RecordBatch, diffs: &[Diff]) {
        if batch.num_rows() == 0 {
            return;
        }
        self.rows += batch.num_rows();
        self.retractions += diffs.iter().filter(|d| **d < 0).count();
        self.hashes.push((self.hash)(batch.columns(), batch.num_rows()));
        self.diffs.push(diffs.iter().any(|d| *d != 1).then(|| diffs.to_vec()));
        // On disk if there is more in memory than should be; later reads do not notice.
        let budget = self.resident.budget();
        let spilled = if budget.is_over() { budget.spilled(batch.columns()) } else { None };
        let spilled = spilled.map(|c| RecordBatch::try_new(batch.schema(), c));
        let batch = match spilled {
            Some(Ok(spilled)) => spilled,
            _ => {
                self.resident.add(batch.get_array_memory_size());
                batch
            }
        };
        Arc::make_mut(&mut self.batches).push(batch);
    }

    fn consolidate(&mut self) -> Result<(), ArrowError> {
        let Some(schema) = self.batches.first().map(RecordBatch::schema) else { return Ok(()) };
        let rows = consolidate(&self.batches, self.rows(self.places()));
        let mut dense = Changes::new(self.hash, self.resident.budget());
        for part in rows.chunks(GATHERED_ROWS) {
            let places: Vec<Place> = part.iter().map(|r| r.place).collect();
            let diffs: Vec<Diff> = part.iter().map(|r| r.copies).collect();
            dense.add(gather(&schema, &self.batches, &places)?, &diffs);
        }
        *self = dense;
        Ok(())
    }

    /// The batches that places name.
    pub(crate) fn batches(&self) -> &Arc<Vec<RecordBatch>> {
        &self.batches
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let batches = (0u32..).zip(self.batches.iter());
        batches.flat_map(|(batch, b)| (0..b.num_rows() as u32).map(move |row| Place { batch, row }))
    }

    /// The places of each bucket's rows; `buckets` says the bucket of each row of some columns.
    pub(crate) fn by_bucket(
        &self,
        buckets: impl Fn(&[ArrayRef]) -> Vec<i64>,
    ) -> BTreeMap<i64, Vec<Place>> {
        let mut places: BTreeMap<i64, Vec<Place>> = BTreeMap::new();
        for (batch, rows) in (0u32..).zip(self.batches.iter()) {
            let mut row = 0;
            for run in buckets(rows.columns()).chunk_by(|a, b| a == b) {
                let end = row + run.len() as u32;
                let of_bucket = places.entry(run[0]).or_default();
                of_bucket.extend((row..end).map(|row| Place { batch, row }));
                row = end;
            }
        }
        places
    }

    /// The rows at some places.
    pub(crate) fn rows(&self, places: impl IntoIterator<Item = Place>) -> Vec<Row> {
        let row = |place: Place| {
            let (batch, row) = (place.batch as usize, place.row as usize);
            let copies = self.diffs[batch].as_ref().map_or(1, |d| d[row]);
            Row { hash: self.hashes[batch][row], place, copies }
        };
        places.into_iter().map(row).collect()
    }
}

/// `rows` without those that undo each other: at most one entry for each value if anything goes at
/// all, none without copies.
pub(crate) fn consolidate(batches: &[RecordBatch], mut rows: Vec<Row>) -> Vec<Row> {
    if rows.iter().all(|r| r.copies > 0) {
        return rows;
    }
    rows.sort_unstable_by_key(|r| r.hash);
    let (mut read, mut kept) = (0, 0);
    while read < rows.len() {
        // Rows of one hash; nearly always of one value.
        let (hash, first) = (rows[read].hash, kept);
        while read < rows.len() && rows[read].hash == hash {
            let row = rows[read];
            read += 1;
            let mut seen = rows[first..kept].iter_mut();
            match seen.find(|r| equal(batches, r.place, row.place)) {
                Some(same) => same.copies += row.copies,
                None => {
                    rows[kept] = row;
                    kept += 1;
                }
            }
        }
        let mut live = first;
        for at in first..kept {
            if rows[at].copies != 0 {
                rows[live] = rows[at];
                live += 1;
            }
        }
        kept = live;
    }
    rows.truncate(kept);
    rows
}

/// The copies of all rows, and the sum of their hashes. Linear: what comes and goes in `rows`
/// cancels, in any order.
pub(crate) fn total(rows: &[Row]) -> (Diff, u128) {
    rows.iter().fold((0, 0), |(count, digest), row| {
        let hashes = row.hash.wrapping_mul(row.copies as i128 as u128);
        (count + row.copies, digest.wrapping_add(hashes))
    })
}

/// The rows at `places`, in that order.
pub(crate) fn gather(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    places: &[Place],
) -> Result<RecordBatch, ArrowError> {
    let indices: Vec<(usize, usize)> =
        places.iter().map(|p| (p.batch as usize, p.row as usize)).collect();
    let columns = (0..schema.fields().len()).map(|c| gather_column(batches, c, &indices));
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// The values of one column at `indices` (batch, row).
pub(crate) fn gather_column(
    batches: &[RecordBatch],
    column: usize,
    indices: &[(usize, usize)],
) -> Result<ArrayRef, ArrowError> {
    let values: Vec<&dyn Array> = batches.iter().map(|b| b.column(column).as_ref()).collect();
    interleave(&values, indices)
}

/// Whether the rows at two places are the same. Columns are in normal form, so equal values have
/// equal bits.
pub(crate) fn equal(batches: &[RecordBatch], a: Place, b: Place) -> bool {
    let (left, right) = (&batches[a.batch as usize], &batches[b.batch as usize]);
    let columns = left.columns().iter().zip(right.columns());
    columns.into_iter().all(|(l, r)| equal_values(l, a.row as usize, r, b.row as usize))
}

macro_rules! equal_primitive {
    ($t:ty, $l:expr, $i:expr, $r:expr, $j:expr) => {
        equal_bits::<$t>($l, $i, $r, $j)
    };
}

fn equal_values(l: &ArrayRef, i: usize, r: &ArrayRef, j: usize) -> bool {
    match (l.is_null(i), r.is_null(j)) {
        (false, false) => {}
        (left, right) => return left == right,
    }
    downcast_primitive! {
        l.data_type() => (equal_primitive, l, i, r, j),
        DataType::Utf8 => l.as_string::<i32>().value(i) == r.as_string::<i32>().value(j),
        DataType::Binary => l.as_binary::<i32>().value(i) == r.as_binary::<i32>().value(j),
        DataType::Boolean => l.as_boolean().value(i) == r.as_boolean().value(j),
        _ => l.slice(i, 1).to_data() == r.slice(j, 1).to_data(),
    }
}

fn equal_bits<T: ArrowPrimitiveType>(l: &ArrayRef, i: usize, r: &ArrayRef, j: usize) -> bool {
    let (l, r) = (l.as_primitive::<T>().value(i), r.as_primitive::<T>().value(j));
    l.to_byte_slice() == r.to_byte_slice()
}

/// A row, for a person.
pub(crate) fn show(batches: &[RecordBatch], place: Place) -> String {
    let options = FormatOptions::default().with_null("null");
    let cell = |c: &ArrayRef| {
        let value = ArrayFormatter::try_new(c.as_ref(), &options);
        value.map(|v| v.value(place.row as usize).to_string()).unwrap_or_default()
    };
    let columns = batches[place.batch as usize].columns();
    columns.iter().map(cell).collect::<Vec<_>>().join(", ")
}
