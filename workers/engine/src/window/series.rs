//! A partition's rows in window order, in shared chunks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, interleave, take};
use arrow::error::ArrowError;

use super::{Chunk, Shape};

/// Rows a chunk is made with; it is split at twice as many. Copies of one row are never split.
#[cfg(not(test))]
const CHUNK_ROWS: usize = 256;
/// In tests everything straddles chunks.
#[cfg(test)]
const CHUNK_ROWS: usize = 4;

/// Rows of one chunk: all input columns, in order. A row that is there twice is two rows.
pub(crate) struct Rows {
    pub columns: Vec<ArrayRef>,
    /// Sort key of the first row.
    first: Box<[u8]>,
    len: usize,
}

/// Copies of one row added (or taken away).
pub(crate) struct Change {
    /// Its sort key, which is the whole row.
    pub key: Box<[u8]>,
    /// Where its columns are.
    pub row: usize,
    /// How many copies; not zero.
    pub count: i64,
}

/// Where rows went in (positions after) and out (positions before), ascending.
#[derive(Default)]
pub(crate) struct Edit {
    pub inserted: Vec<usize>,
    pub deleted: Vec<usize>,
}

/// The rows of a partition. Cheap to clone: chunks are shared.
#[derive(Clone, Default)]
pub(crate) struct Series {
    chunks: Vec<Chunk>,
    /// Copies that were taken away before they came: they cancel when they come.
    owed: BTreeMap<Box<[u8]>, i64>,
}

impl Series {
    /// Nothing is here, and nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.owed.is_empty()
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(|c| c.len).sum()
    }

    /// Make `changes` (ascending keys, rows of `columns`).
    pub(crate) fn apply(
        &mut self,
        shape: &Shape,
        changes: &[Change],
        columns: &[ArrayRef],
    ) -> Result<Edit, ArrowError> {
        let mut edit = Edit::default();
        if self.chunks.is_empty() && self.owed.is_empty() && changes.iter().all(|c| c.count > 0) {
            self.load(shape, changes, columns)?;
            edit.inserted = (0..self.len()).collect();
            return Ok(edit);
        }
        let old = std::mem::take(&mut self.chunks);
        let (mut next, mut before, mut after) = (0, 0, 0);
        for (i, chunk) in old.iter().enumerate() {
            // A chunk owns the keys up to the next chunk's first.
            let upper = old.get(i + 1).map(|c| &c.first);
            let mine = changes[next..].partition_point(|c| upper.is_none_or(|u| c.key < *u));
            let part = &changes[next..next + mine];
            next += mine;
            if part.is_empty() {
                self.chunks.push(chunk.clone());
                after += chunk.len;
            } else {
                let merged =
                    self.merge(shape, Some(chunk), part, columns, (before, after), &mut edit)?;
                after += merged;
            }
            before += chunk.len;
        }
        if old.is_empty() {
            self.merge(shape, None, changes, columns, (0, 0), &mut edit)?;
        }
        Ok(edit)
    }

    fn load(
        &mut self,
        shape: &Shape,
        changes: &[Change],
        columns: &[ArrayRef],
    ) -> Result<(), ArrowError> {
        let mut part: Vec<u32> = vec![];
        for (i, change) in changes.iter().enumerate() {
            let copies = usize::try_from(change.count).unwrap_or(0);
            part.extend(std::iter::repeat_n(index(change.row), copies));
            if part.len() >= CHUNK_ROWS || i + 1 == changes.len() {
                let indices = UInt32Array::from(std::mem::take(&mut part));
                let taken = columns.iter().map(|c| take(c, &indices, None));
                self.push(shape, taken.collect::<Result<_, _>>()?, indices.len())?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        shape: &Shape,
        columns: Vec<ArrayRef>,
        len: usize,
    ) -> Result<(), ArrowError> {
        let head: Vec<ArrayRef> = shape.key.iter().map(|c| columns[*c].slice(0, 1)).collect();
        let first = shape.keys.convert_columns(&head)?.row(0).data().into();
        self.chunks.push(Arc::new(Rows { columns, first, len }));
        Ok(())
    }

    /// Merge `changes` into `chunk`; how many rows came out. `base` is where the chunk begins
    /// before and after.
    fn merge(
        &mut self,
        shape: &Shape,
        chunk: Option<&Chunk>,
        changes: &[Change],
        columns: &[ArrayRef],
        base: (usize, usize),
        edit: &mut Edit,
    ) -> Result<usize, ArrowError> {
        let keys = match chunk {
            Some(chunk) => Some(chunk.keys(shape)?),
            None => None,
        };
        let len = chunk.map_or(0, |c| c.len);
        let key = |i: usize| keys.as_ref().map_or(&[][..], |k| k.row(i).data());
        // (0, row of the chunk) or (1, row of the changes), and whether its key is a new one
        let mut rows: Vec<(usize, usize)> = Vec::with_capacity(len + changes.len());
        let mut starts: Vec<usize> = vec![];
        let mut at = 0;
        for change in changes {
            while at < len && key(at) < &*change.key {
                if at == 0 || key(at - 1) != key(at) {
                    starts.push(rows.len());
                }
                rows.push((0, at));
                at += 1;
            }
            starts.push(rows.len());
            let mut count = change.count;
            if let Some(owed) = self.owed.remove(&change.key) {
                count += owed;
            }
            while count < 0 && at < len && *key(at) == *change.key {
                edit.deleted.push(base.0 + at);
                at += 1;
                count += 1;
            }
            if count < 0 {
                self.owed.insert(change.key.clone(), count);
            }
            for _ in 0..count.max(0) {
                edit.inserted.push(base.1 + rows.len());
                rows.push((1, change.row));
            }
            // The copies that stay follow: they are the same key.
            while at < len && *key(at) == *change.key {
                rows.push((0, at));
                at += 1;
            }
        }
        for i in at..len {
            if i == 0 || key(i - 1) != key(i) {
                starts.push(rows.len());
            }
            rows.push((0, i));
        }
        for part in parts(rows.len(), &starts) {
            let part = &rows[part];
            let made = (0..columns.len()).map(|c| {
                let own = chunk.map_or_else(|| columns[c].slice(0, 0), |k| k.columns[c].clone());
                interleave(&[own.as_ref(), columns[c].as_ref()], part)
            });
            self.push(shape, made.collect::<Result<_, _>>()?, part.len())?;
        }
        Ok(rows.len())
    }

    /// How many rows have a key before `key`; with `after`, also those whose key begins with it.
    pub(crate) fn position(
        &self,
        shape: &Shape,
        key: &[u8],
        after: bool,
    ) -> Result<usize, ArrowError> {
        let below = |k: &[u8]| match after {
            true => k < key || k.starts_with(key),
            false => k < key,
        };
        // The last chunk that begins below the key is the one it falls into.
        let chunk = self.chunks.partition_point(|c| below(&c.first));
        let Some(last) = chunk.checked_sub(1) else { return Ok(0) };
        let keys = self.chunks[last].keys(shape)?;
        let before: usize = self.chunks[..last].iter().map(|c| c.len).sum();
        let (mut lo, mut hi) = (0, self.chunks[last].len);
        while lo < hi {
            let mid = (lo + hi) / 2;
            if below(keys.row(mid).data()) { lo = mid + 1 } else { hi = mid }
        }
        Ok(before + lo)
    }

    /// Columns of the rows at `range`, flat.
    pub(crate) fn flat(
        &self,
        shape: &Shape,
        types: &[ArrayRef],
        range: Range<usize>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut parts: Vec<(&Chunk, usize, usize)> = vec![];
        let mut start = 0;
        for chunk in &self.chunks {
            let end = start + chunk.len;
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                parts.push((chunk, from - start, to - from));
            }
            start = end;
        }
        let column = |c: usize| -> Result<ArrayRef, ArrowError> {
            let cut: Vec<ArrayRef> =
                parts.iter().map(|(k, from, n)| k.columns[c].slice(*from, *n)).collect();
            match cut.as_slice() {
                [] => Ok(types[c].clone()),
                [one] => Ok(one.clone()),
                many => concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
            }
        };
        (0..shape.key.len()).map(column).collect()
    }
}

impl Rows {
    fn keys(&self, shape: &Shape) -> Result<arrow::row::Rows, ArrowError> {
        let columns: Vec<ArrayRef> = shape.key.iter().map(|c| self.columns[*c].clone()).collect();
        debug_assert!(columns.iter().all(|c| c.len() == self.len));
        shape.keys.convert_columns(&columns)
    }
}

fn index(row: usize) -> u32 {
    u32::try_from(row).expect("a batch has fewer than 2^32 rows")
}

/// `rows` rows cut into chunks, each beginning at one of `starts` (ascending).
fn parts(rows: usize, starts: &[usize]) -> Vec<Range<usize>> {
    if rows <= 2 * CHUNK_ROWS {
        return std::iter::once(0..rows).filter(|r| !r.is_empty()).collect();
    }
    let mut cuts = vec![0];
    for start in starts.iter().copied().filter(|s| *s < rows) {
        if start >= cuts[cuts.len() - 1] + CHUNK_ROWS {
            cuts.push(start);
        }
    }
    cuts.push(rows);
    cuts.windows(2).map(|w| w[0]..w[1]).collect()
}
