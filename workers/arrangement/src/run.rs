//! A run: sorted, consolidated rows as columns.
//!
//! Rows are in the order (key hash, key, value, time), and no two agree in all four. Distinct keys
//! are stored once (`hashes`, `ends`, `keys`); values stay plain Arrow arrays, so a reduction sees
//! column slices with nothing to decode. Slicing copies nothing.

use arrow::array::{Array, ArrayRef, MutableArrayData, make_array};
use arrow::buffer::ScalarBuffer;
use schemas::{Diff, Time};

use crate::compare::RowOrder;
use crate::sort::Unsorted;
use crate::updates::{Lane, Updates};

/// Sorted, consolidated rows.
#[derive(Clone)]
pub struct Run {
    /// Hash of each distinct key.
    pub(crate) hashes: ScalarBuffer<u64>,
    /// One past the last row of each distinct key, plus `base`.
    pub(crate) ends: ScalarBuffer<u32>,
    /// What a slice subtracts from `ends`.
    pub(crate) base: u32,
    /// Distinct keys.
    pub(crate) keys: Vec<ArrayRef>,
    /// Values, one per row.
    pub(crate) values: Vec<ArrayRef>,
    /// Times, one per row.
    pub(crate) times: Lane<Time>,
    /// Diff column 0.
    pub(crate) count: Lane<Diff>,
    /// Diff columns 1 and up.
    pub(crate) sums: Vec<Lane<i128>>,
    /// Rows in the allocation of which this is a slice.
    pub(crate) allocated: usize,
}

impl Run {
    /// `updates` sorted by key (the columns at the positions `keys`, in that order) and
    /// consolidated; `None` if they cancel. Key hashes are masked with `hash_mask`.
    pub fn sorted(updates: Updates, keys: &[usize], hash_mask: u64) -> Option<Run> {
        Unsorted::split(updates, keys, hash_mask).sorted()
    }

    /// A run without rows (and without columns).
    pub(crate) fn empty() -> Self {
        Run {
            hashes: Vec::new().into(),
            ends: Vec::new().into(),
            base: 0,
            keys: vec![],
            values: vec![],
            times: Lane::constant(0, 0),
            count: Lane::constant(0, 0),
            sums: vec![],
            allocated: 0,
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Bytes of its columns, about.
    pub(crate) fn bytes(&self) -> usize {
        let columns = self.keys.iter().chain(&self.values);
        let data: usize = columns.map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        data + 8 * self.hashes.len() + 4 * self.ends.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hash of each distinct key, ascending.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The distinct keys, in order.
    pub fn keys(&self) -> &[ArrayRef] {
        &self.keys
    }

    /// How many distinct keys.
    pub fn key_count(&self) -> usize {
        self.hashes.len()
    }

    /// The value columns.
    pub fn values(&self) -> &[ArrayRef] {
        &self.values
    }

    /// When each row counts.
    pub fn times(&self) -> &Lane<Time> {
        &self.times
    }

    /// Diff column 0.
    pub fn count(&self) -> &Lane<Diff> {
        &self.count
    }

    /// Diff columns 1 and up.
    pub fn sums(&self) -> &[Lane<i128>] {
        &self.sums
    }

    /// First row of distinct key `k`.
    #[inline]
    pub fn key_start(&self, k: usize) -> usize {
        if k == 0 { 0 } else { self.key_end(k - 1) }
    }

    /// One past the last row of distinct key `k`.
    #[inline]
    pub fn key_end(&self, k: usize) -> usize {
        ((self.ends[k] - self.base) as usize).min(self.len())
    }

    /// Which distinct key a row has.
    fn key_of_row(&self, row: usize) -> usize {
        let row = row as u32 + self.base;
        self.ends.partition_point(|end| *end <= row)
    }

    /// Which distinct key each row has.
    pub fn row_keys(&self) -> Vec<u32> {
        let mut keys = Vec::with_capacity(self.len());
        for k in 0..self.key_count() {
            keys.resize(self.key_end(k), k as u32);
        }
        keys
    }

    /// Rows `[start, end)`, at least one, without a copy.
    pub fn slice(&self, start: usize, end: usize) -> Run {
        debug_assert!(start < end);
        let first = self.key_of_row(start);
        let keys = self.key_of_row(end - 1) + 1 - first;
        let rows = end - start;
        Run {
            hashes: self.hashes.slice(first, keys),
            ends: self.ends.slice(first, keys),
            base: self.base + start as u32,
            keys: self.keys.iter().map(|c| c.slice(first, keys)).collect(),
            values: self.values.iter().map(|c| c.slice(start, rows)).collect(),
            times: self.times.slice(start, rows),
            count: self.count.slice(start, rows),
            sums: self.sums.iter().map(|s| s.slice(start, rows)).collect(),
            allocated: self.allocated,
        }
    }

    /// Whether key `i` here is key `j` of `other`.
    pub(crate) fn same_key(&self, i: usize, other: &Run, j: usize) -> bool {
        self.hashes[i] == other.hashes[j] && RowOrder::new(&self.keys, &other.keys).equal(i, j)
    }

    /// Whether the diffs of `rows` add up to nothing: the count and every sum.
    #[inline]
    pub(crate) fn cancels(&self, rows: std::ops::Range<usize>) -> bool {
        rows.clone().map(|r| self.count.get(r)).sum::<Diff>() == 0
            && self
                .sums
                .iter()
                .all(|s| rows.clone().fold(0i128, |sum, r| sum.wrapping_add(s.get(r))) == 0)
    }

    /// This run with the diff of `row` of `other` added to its first row.
    pub(crate) fn add_to_first(&self, other: &Run, row: usize) -> Run {
        let mut run = self.clone();
        let mut count: Vec<Diff> = self.count.iter().collect();
        count[0] += other.count.get(row);
        run.count = Lane::each(count);
        for (sum, from) in run.sums.iter_mut().zip(&other.sums) {
            let mut values: Vec<i128> = sum.iter().collect();
            values[0] = values[0].wrapping_add(from.get(row));
            *sum = Lane::each(values);
        }
        run
    }

    /// The same rows in an allocation of their own, so that a small slice does not pin a large
    /// parent.
    pub(crate) fn compact(&self) -> Run {
        let ends: Vec<u32> = (0..self.key_count()).map(|k| self.key_end(k) as u32).collect();
        Run {
            hashes: self.hashes.to_vec().into(),
            ends: ends.into(),
            base: 0,
            keys: self.keys.iter().map(copy).collect(),
            values: self.values.iter().map(copy).collect(),
            times: Lane::each(self.times.iter().collect()),
            count: Lane::each(self.count.iter().collect()),
            sums: self.sums.iter().map(|s| Lane::each(s.iter().collect())).collect(),
            allocated: self.len(),
        }
    }

    /// The rows as changes: key columns, then value columns.
    pub fn to_updates(&self) -> Updates {
        let keys = if self.key_count() == self.len() {
            self.keys.clone()
        } else {
            crate::columns::take_rows(&self.keys, self.row_keys())
        };
        let columns = keys.into_iter().chain(self.values.iter().cloned()).collect();
        let (times, count) = (self.times.clone(), self.count.clone());
        Updates::with_sums(columns, times, count, self.sums.clone())
    }
}

fn copy(column: &ArrayRef) -> ArrayRef {
    let data = column.to_data();
    let mut copy = MutableArrayData::new(vec![&data], false, data.len());
    copy.try_extend(0, 0, data.len()).expect("a copy fits the offsets of its original");
    make_array(copy.freeze())
}
