//! What travels on a dataflow edge: columns, and per row a time and a diff.
//!
//! Times and diffs are mostly constant over a batch (one log entry, all insertions), so a [`Lane`]
//! stores such a run as one value.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::take;
use schemas::{Diff, Time};

use crate::columns::concat_rows;

/// One fixed-width value per row, stored once where it is the same for all.
#[derive(Clone, Debug)]
pub enum Lane<T: arrow::datatypes::ArrowNativeType> {
    /// `value`, `len` times.
    Constant {
        /// The value.
        value: T,
        /// How many rows.
        len: usize,
    },
    /// One value per row.
    Each(ScalarBuffer<T>),
}

impl<T: arrow::datatypes::ArrowNativeType + PartialEq> Lane<T> {
    /// `value`, `len` times.
    pub fn constant(value: T, len: usize) -> Self {
        Lane::Constant { value, len }
    }

    /// One value per row; a run of equal values is stored once.
    pub fn each(values: Vec<T>) -> Self {
        match values.first() {
            Some(first) if values.iter().all(|v| v == first) => {
                Lane::Constant { value: *first, len: values.len() }
            }
            _ => Lane::Each(values.into()),
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Lane::Constant { len, .. } => *len,
            Lane::Each(values) => values.len(),
        }
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value of row `i`, which must exist.
    #[inline]
    pub fn get(&self, i: usize) -> T {
        match self {
            Lane::Constant { value, .. } => *value,
            Lane::Each(values) => values[i],
        }
    }

    /// All values in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Rows `[start, start + len)`, without a copy.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        match self {
            Lane::Constant { value, .. } => Lane::Constant { value: *value, len },
            Lane::Each(values) => Lane::Each(values.slice(start, len)),
        }
    }

    /// The rows at `indices`, in that order.
    pub fn take(&self, indices: &[u32]) -> Self {
        match self {
            Lane::Constant { value, .. } => Lane::Constant { value: *value, len: indices.len() },
            Lane::Each(v) => Lane::Each(indices.iter().map(|i| v[*i as usize]).collect()),
        }
    }

    /// All rows of `parts`, one after the other.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self
    where
        T: 'a,
    {
        let total = parts.clone().map(Lane::len).sum();
        let constant = |p: &Self| match p {
            Lane::Constant { value, .. } => Some(*value),
            Lane::Each(_) => None,
        };
        let mut values = parts.clone().filter(|p| !p.is_empty()).map(constant);
        match values.next() {
            Some(Some(first)) if values.all(|v| v == Some(first)) => Lane::constant(first, total),
            None => Lane::Each(Vec::new().into()),
            _ => Lane::Each(parts.flat_map(Lane::iter).collect()),
        }
    }
}

/// A batch of changes: `columns`, each as long as `times`; for row `i` the time `times[i]` and the
/// diff (`count[i]`, `sums[0][i]`, …).
///
/// `count` says how often the row is added or taken away. `sums` are further diff columns that
/// consolidation adds up beside the count (accumulable aggregates); ordinary collections have none.
#[derive(Clone, Debug)]
pub struct Updates {
    /// The row's columns, in normal types.
    pub columns: Vec<ArrayRef>,
    /// When each change counts.
    pub times: Lane<Time>,
    /// Diff column 0.
    pub count: Lane<Diff>,
    /// Diff columns 1 and up.
    pub sums: Vec<Lane<i128>>,
    /// Arrow IPC form, made once (timely asks for its length before its bytes).
    pub(crate) encoded: OnceLock<Arc<Vec<u8>>>,
}

impl Default for Updates {
    fn default() -> Self {
        Updates::new(vec![], Lane::constant(0, 0), Lane::constant(0, 0))
    }
}

impl Updates {
    /// Changes with a plain count as their diff.
    pub fn new(columns: Vec<ArrayRef>, times: Lane<Time>, count: Lane<Diff>) -> Self {
        Updates::with_sums(columns, times, count, vec![])
    }

    /// Changes with further diff columns.
    pub fn with_sums(
        columns: Vec<ArrayRef>,
        times: Lane<Time>,
        count: Lane<Diff>,
        sums: Vec<Lane<i128>>,
    ) -> Self {
        debug_assert!(columns.iter().all(|c| c.len() == times.len()));
        debug_assert!(count.len() == times.len());
        debug_assert!(sums.iter().all(|s| s.len() == times.len()));
        Updates { columns, times, count, sums, encoded: OnceLock::new() }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same times and diffs under other columns of the same length.
    pub fn with_columns(&self, columns: Vec<ArrayRef>) -> Self {
        let (times, count) = (self.times.clone(), self.count.clone());
        Updates::with_sums(columns, times, count, self.sums.clone())
    }

    /// Rows `[start, start + len)`, without a copy.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        Updates::with_sums(
            self.columns.iter().map(|c| c.slice(start, len)).collect(),
            self.times.slice(start, len),
            self.count.slice(start, len),
            self.sums.iter().map(|s| s.slice(start, len)).collect(),
        )
    }

    /// The rows at `indices`, in that order. Each index must exist.
    pub fn take(&self, indices: Vec<u32>) -> Self {
        let times = self.times.take(&indices);
        let count = self.count.take(&indices);
        let sums = self.sums.iter().map(|s| s.take(&indices)).collect();
        let indices = UInt32Array::from(indices);
        let columns = self
            .columns
            .iter()
            .map(|c| take(c.as_ref(), &indices, None).expect("indices are rows of every column"));
        Updates::with_sums(columns.collect(), times, count, sums)
    }

    /// All rows of `parts`, one after the other. Parts share column types and number of sums;
    /// empty ones may have neither.
    pub fn concat(parts: &[Updates]) -> Self {
        let parts: Vec<&Updates> = parts.iter().filter(|p| !p.is_empty()).collect();
        let Some(first) = parts.first() else {
            return Updates::default();
        };
        if parts.len() == 1 {
            return (*first).clone();
        }
        let columns: Vec<&[ArrayRef]> = parts.iter().map(|p| &p.columns[..]).collect();
        Updates::with_sums(
            concat_rows(&columns),
            Lane::concat(parts.iter().map(|p| &p.times)),
            Lane::concat(parts.iter().map(|p| &p.count)),
            (0..first.sums.len()).map(|s| Lane::concat(parts.iter().map(|p| &p.sums[s]))).collect(),
        )
    }
}

impl timely::Accountable for Updates {
    fn record_count(&self) -> i64 {
        self.len() as i64
    }
}
