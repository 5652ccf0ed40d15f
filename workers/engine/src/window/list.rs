//! All rows of a window node in one order, in shared chunks.
//!
//! Partitions lie one behind the other, by the hash of their columns: tiny ones share chunks, long
//! ones have many. A position counts rows from the start of the list.

use std::ops::Range;
use std::sync::Arc;

use arrangement::hash_columns;
use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;

use super::Shape;
use super::frames::View;
use super::merge::CHUNK_ROWS;
use super::order::{Ranks, RowCompare, longs, subs};
use crate::numbers::widen;

/// Rows of one chunk: all columns, in order. A row that is there twice is two rows.
pub(crate) struct Rows {
    pub columns: Vec<ArrayRef>,
    pub len: usize,
    /// Partitions: hash, and first row.
    parts: Vec<(u64, usize)>,
}

impl Rows {
    /// `len` sorted rows.
    pub(crate) fn new(
        shape: &Shape,
        columns: Vec<ArrayRef>,
        len: usize,
    ) -> Result<Rows, ArrowError> {
        let hashes = shape.hashes(&columns, len);
        let own = RowCompare::new(&columns, &columns, &shape.by_partition)?;
        let mut parts: Vec<(u64, usize)> = vec![];
        for (i, hash) in hashes.into_iter().enumerate() {
            let new = parts.last().is_none_or(|(h, _)| *h != hash) || own.compare(i - 1, i).is_ne();
            if new {
                parts.push((hash, i));
            }
        }
        Ok(Rows { columns, len, parts })
    }

    pub(crate) fn first_hash(&self) -> u64 {
        self.parts.first().map_or(0, |p| p.0)
    }

    /// Hash of the partition of row `i`.
    pub(crate) fn hash(&self, i: usize) -> u64 {
        let at = self.parts.partition_point(|p| p.1 <= i);
        self.parts[at - 1].0
    }

    /// The first row whose partition's hash is `hash` or greater (or greater).
    fn row_of(&self, hash: u64, or_equal: bool) -> usize {
        let at = self.parts.partition_point(|p| p.0 < hash || (!or_equal && p.0 == hash));
        self.parts.get(at).map_or(self.len, |p| p.1)
    }
}

/// A row of some columns: what is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub columns: &'a [ArrayRef],
    pub row: usize,
}

/// Chunks in order. Cheap to clone: chunks are shared.
#[derive(Clone, Default)]
pub(crate) struct List {
    chunks: Vec<Arc<Rows>>,
    /// Position of each chunk's first row.
    starts: Vec<usize>,
}

impl List {
    pub(crate) fn new(chunks: Vec<Arc<Rows>>) -> List {
        let mut len = 0;
        let start = |c: &Arc<Rows>| {
            len += c.len;
            len - c.len
        };
        let starts = chunks.iter().map(start).collect();
        List { chunks, starts }
    }

    pub(crate) fn chunks(&self) -> &[Arc<Rows>] {
        &self.chunks
    }

    pub(crate) fn start(&self, chunk: usize) -> usize {
        self.starts[chunk]
    }

    /// Chunk and row of a position, which must exist.
    pub(crate) fn locate(&self, position: usize) -> (usize, usize) {
        let chunk = self.starts.partition_point(|s| *s <= position) - 1;
        (chunk, position - self.starts[chunk])
    }

    /// The positions of each partition.
    pub(crate) fn partitions(&self, shape: &Shape) -> Result<Vec<Range<usize>>, ArrowError> {
        let mut starts: Vec<usize> = vec![];
        let mut before: Option<&Rows> = None;
        for (chunk, start) in self.chunks.iter().zip(&self.starts) {
            let goes_on = match before {
                None => false,
                Some(before) => {
                    let by = &shape.by_partition;
                    let compare = RowCompare::new(&before.columns, &chunk.columns, by)?;
                    compare.compare(before.len - 1, 0).is_eq()
                }
            };
            let new = chunk.parts.iter().skip(usize::from(goes_on));
            starts.extend(new.map(|(_, row)| start + row));
            before = Some(chunk);
        }
        let last = self.chunks.last().map_or(0, |c| c.len);
        let len = self.starts.last().map_or(0, |s| s + last);
        let ends = starts.iter().skip(1).copied().chain([len]);
        Ok(starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect())
    }

    /// The positions of the partition of `key`, whose hash is `hash`.
    pub(crate) fn partition(
        &self,
        shape: &Shape,
        hash: u64,
        key: Key<'_>,
    ) -> Result<Range<usize>, ArrowError> {
        let bound = |or_equal: bool| {
            let behind = |c: &Arc<Rows>| match or_equal {
                true => c.first_hash() < hash,
                false => c.first_hash() <= hash,
            };
            let chunk = self.chunks.partition_point(behind);
            match chunk.checked_sub(1) {
                None => 0,
                Some(last) => self.starts[last] + self.chunks[last].row_of(hash, or_equal),
            }
        };
        let same_hash = bound(true)..bound(false);
        if same_hash.is_empty() {
            return Ok(same_hash);
        }
        let by = &shape.by_partition;
        let at = |position: usize| {
            let (chunk, row) = self.locate(position);
            let compare = RowCompare::new(&self.chunks[chunk].columns, key.columns, by)?;
            Ok::<_, ArrowError>(compare.compare(row, key.row))
        };
        if at(same_hash.start)?.is_eq() && at(same_hash.end - 1)?.is_eq() {
            return Ok(same_hash);
        }
        // Several partitions share the hash.
        let from = self.position(same_hash.clone(), by, key, false)?;
        Ok(from..self.position(same_hash, by, key, true)?)
    }

    /// The first position of `within` whose row is not below `key` by the columns `by`; with
    /// `after`, the first whose row is above it.
    pub(crate) fn position(
        &self,
        within: Range<usize>,
        by: &[super::order::By],
        key: Key<'_>,
        after: bool,
    ) -> Result<usize, ArrowError> {
        let mut last: Option<(usize, RowCompare)> = None;
        self.search(within, |chunk, row| {
            if last.as_ref().is_none_or(|(c, _)| *c != chunk) {
                let columns = &self.chunks[chunk].columns;
                last = Some((chunk, RowCompare::new(columns, key.columns, by)?));
            }
            let order = last.as_ref().map(|(_, compare)| compare.compare(row, key.row));
            Ok(order.is_some_and(|o| o.is_lt() || after && o.is_eq()))
        })
    }

    /// The first position of `within` whose rank is `rank` or more; with `after`, more. It is
    /// looked for around `near` first: what is close together is in the same few chunks.
    pub(crate) fn position_of_rank(
        &self,
        shape: &Shape,
        within: Range<usize>,
        near: Option<usize>,
        rank: i128,
        after: bool,
    ) -> Result<usize, ArrowError> {
        let below = |chunk: usize, row: usize| {
            let here = shape.ranks(&self.chunks[chunk].columns)?.get(row);
            Ok(here < rank || after && here == rank)
        };
        let within = match near.filter(|n| within.contains(n)) {
            None => within,
            Some(near) => self.around(within, near, below)?,
        };
        self.search(within, below)
    }

    /// A part of `within` around `near` that holds the first position that is not `below`.
    fn around(
        &self,
        within: Range<usize>,
        near: usize,
        below: impl Fn(usize, usize) -> Result<bool, ArrowError>,
    ) -> Result<Range<usize>, ArrowError> {
        let at = |position: usize| {
            let (chunk, row) = self.locate(position);
            below(chunk, row)
        };
        let mut step = CHUNK_ROWS;
        let (mut lo, mut hi) = (near, near);
        if at(near)? {
            while hi < within.end && at(hi)? {
                lo = hi + 1;
                hi += step;
                step *= 2;
            }
            return Ok(lo..hi.min(within.end));
        }
        while lo > within.start && !at(lo)? {
            hi = lo;
            lo = lo.saturating_sub(step).max(within.start);
            step *= 2;
        }
        Ok(lo..hi)
    }

    /// The first position of `within` that is not `below`, which holds for a prefix of it.
    fn search(
        &self,
        within: Range<usize>,
        mut below: impl FnMut(usize, usize) -> Result<bool, ArrowError>,
    ) -> Result<usize, ArrowError> {
        let (mut lo, mut hi) = (within.start, within.end);
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            let (chunk, row) = self.locate(mid);
            if below(chunk, row)? { lo = mid + 1 } else { hi = mid }
        }
        Ok(lo)
    }

    /// The parts of `range`: chunk, first row, rows.
    pub(crate) fn pieces(
        &self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let first = self.starts.partition_point(|s| *s <= range.start).saturating_sub(1);
        let piece = move |k: usize| {
            let (start, end) = (self.starts[k], self.starts[k] + self.chunks[k].len);
            let (from, to) = (range.start.max(start), range.end.min(end));
            (from < to).then(|| (k, from - start, to - from))
        };
        let end = range.end;
        (first..self.chunks.len()).take_while(move |k| self.starts[*k] < end).filter_map(piece)
    }

    /// Rows of a column at `range`, as one array of type `t`.
    pub(crate) fn flat(
        &self,
        column: usize,
        range: Range<usize>,
        t: &DataType,
    ) -> Result<ArrayRef, ArrowError> {
        let piece = |(k, from, n): (usize, usize, usize)| -> ArrayRef {
            self.chunks[k].columns[column].slice(from, n)
        };
        let cut: Vec<ArrayRef> = self.pieces(range).map(piece).collect();
        match cut.as_slice() {
            [] => Ok(new_empty_array(t)),
            [one] => Ok(one.clone()),
            many => concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
        }
    }

    /// Rows of a column at `positions`; null where there is none.
    pub(crate) fn pick(
        &self,
        column: usize,
        positions: &[Option<usize>],
        t: &DataType,
    ) -> Result<ArrayRef, ArrowError> {
        let null = arrow::array::new_null_array(t, 1);
        let mut sources: Vec<&dyn Array> = vec![null.as_ref()];
        let mut last = (usize::MAX, 0);
        let mut rows = Vec::with_capacity(positions.len());
        for position in positions {
            let Some(position) = position else {
                rows.push((0, 0));
                continue;
            };
            let (chunk, row) = self.locate(*position);
            if last.0 != chunk {
                last = (chunk, sources.len());
                sources.push(self.chunks[chunk].columns[column].as_ref());
            }
            rows.push((last.1, row));
        }
        interleave(&sources, &rows)
    }

    /// Ranks of the rows at `range`.
    pub(crate) fn ranks(
        &self,
        shape: &Shape,
        range: Range<usize>,
    ) -> Result<Vec<i128>, ArrowError> {
        let mut all = Vec::with_capacity(range.len());
        for (k, from, n) in self.pieces(range) {
            let ranks = shape.ranks(&self.chunks[k].columns)?;
            all.extend((from..from + n).map(|i| ranks.get(i)));
        }
        Ok(all)
    }

    /// Numbers of the sub-partitions of the rows at `range`.
    pub(crate) fn subs(&self, column: usize, range: Range<usize>) -> Vec<u32> {
        let mut all = Vec::with_capacity(range.len());
        for (k, from, n) in self.pieces(range) {
            all.extend_from_slice(&subs(&self.chunks[k].columns[column])[from..from + n]);
        }
        all
    }

    /// The 64-bit integers a column is made of in `view` (nulls are 0), and which are there; `None`
    /// if it is made of others.
    pub(crate) fn longs(&self, column: usize, view: &View) -> Option<(Vec<i64>, Valid)> {
        longs(&self.chunks.first()?.columns[column])?;
        let mut all = vec![];
        let mut valid = Valid::default();
        let mut take = |k: usize, from: usize, n: usize| {
            let array = &self.chunks[k].columns[column];
            let Some(values) = longs(array) else { return };
            all.extend_from_slice(&values[from..from + n]);
            if array.null_count() > 0 {
                let start = all.len() - n;
                (0..n).filter(|i| array.is_null(from + i)).for_each(|i| all[start + i] = 0);
            }
            valid.extend(array.nulls(), from, n);
        };
        match view {
            View::Span(range) => {
                self.pieces(range.clone()).for_each(|(k, from, n)| take(k, from, n))
            }
            View::Picked(rows) => {
                for position in rows {
                    let (chunk, row) = self.locate(*position);
                    take(chunk, row, 1);
                }
            }
        }
        Some((all, valid))
    }

    /// Exact numbers of a column in `view` (nulls are 0), and which are there.
    pub(crate) fn exact(&self, column: usize, view: &View) -> (Vec<i128>, Valid) {
        let range = match view {
            View::Span(range) => range.clone(),
            View::Picked(rows) => {
                let mut valid = Valid::default();
                let one = |position: &usize| {
                    let (chunk, row) = self.locate(*position);
                    let array = &self.chunks[chunk].columns[column];
                    valid.extend(array.nulls(), row, 1);
                    match longs(array) {
                        Some(longs) => i128::from(longs[row]),
                        None => widen(&array.slice(row, 1)).map_or(0, |v| v[0]),
                    }
                };
                return (rows.iter().map(one).collect(), valid);
            }
        };
        let mut all = Vec::with_capacity(range.len());
        let mut valid = Valid::default();
        for (k, from, n) in self.pieces(range) {
            let array = &self.chunks[k].columns[column];
            match (longs(array), array.null_count()) {
                (Some(longs), 0) => {
                    all.extend(longs[from..from + n].iter().map(|v| i128::from(*v)));
                }
                _ => all.extend(widen(&array.slice(from, n)).unwrap_or_else(|| vec![0; n])),
            }
            valid.extend(array.nulls(), from, n);
        }
        (all, valid)
    }

    /// Floats of a column in `view`, and which are there.
    pub(crate) fn floats(&self, column: usize, view: &View) -> (Vec<f64>, Valid) {
        let range = match view {
            View::Span(range) => range.clone(),
            View::Picked(rows) => {
                let mut valid = Valid::default();
                let one = |position: &usize| {
                    let (chunk, row) = self.locate(*position);
                    let array = self.chunks[chunk].columns[column].as_primitive::<Float64Type>();
                    valid.extend(array.nulls(), row, 1);
                    array.value(row)
                };
                return (rows.iter().map(one).collect(), valid);
            }
        };
        let mut all = Vec::with_capacity(range.len());
        let mut valid = Valid::default();
        for (k, from, n) in self.pieces(range) {
            let array = self.chunks[k].columns[column].as_primitive::<Float64Type>();
            all.extend_from_slice(&array.values()[from..from + n]);
            valid.extend(array.nulls(), from, n);
        }
        (all, valid)
    }

    /// A view's rows of a column, as one array of type `t`.
    pub(crate) fn seen(
        &self,
        column: usize,
        view: &View,
        t: &DataType,
    ) -> Result<ArrayRef, ArrowError> {
        match view {
            View::Span(range) => self.flat(column, range.clone(), t),
            View::Picked(rows) => {
                let rows: Vec<Option<usize>> = rows.iter().map(|r| Some(*r)).collect();
                self.pick(column, &rows, t)
            }
        }
    }

    /// Which rows of a column are there.
    pub(crate) fn valid(&self, column: usize, view: &View) -> Valid {
        let mut valid = Valid::default();
        let range = match view {
            View::Span(range) => range.clone(),
            View::Picked(rows) => {
                for position in rows {
                    let (chunk, row) = self.locate(*position);
                    valid.extend(self.chunks[chunk].columns[column].nulls(), row, 1);
                }
                return valid;
            }
        };
        for (k, from, n) in self.pieces(range) {
            valid.extend(self.chunks[k].columns[column].nulls(), from, n);
        }
        valid
    }
}

/// Which rows are not null; nothing is stored while all are.
#[derive(Default)]
pub(crate) struct Valid {
    flags: Option<Vec<bool>>,
    len: usize,
}

impl Valid {
    fn extend(&mut self, nulls: Option<&NullBuffer>, from: usize, n: usize) {
        if let (None, Some(_)) = (&self.flags, nulls) {
            self.flags = Some(vec![true; self.len]);
        }
        if let Some(flags) = &mut self.flags {
            flags.extend((from..from + n).map(|i| nulls.is_none_or(|nulls| nulls.is_valid(i))));
        }
        self.len += n;
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> bool {
        self.flags.as_ref().is_none_or(|f| f[i])
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether no row is null.
    pub(crate) fn all(&self) -> bool {
        self.flags.is_none()
    }
}

impl Shape {
    /// One hash per row, of its partition.
    pub(crate) fn hashes(&self, columns: &[ArrayRef], len: usize) -> Vec<u64> {
        match self.partition.is_empty() {
            true => vec![0; len],
            false => {
                let partition = self.partition.iter().map(|c| columns[*c].clone());
                hash_columns(&partition.collect::<Vec<_>>())
            }
        }
    }

    /// Ranks by the one order column.
    pub(crate) fn ranks<'a>(&self, columns: &'a [ArrayRef]) -> Result<Ranks<'a>, ArrowError> {
        let order = self.order[0];
        Ranks::new(&columns[order.column], order)
    }
}
