//! All rows of a window node in one order, in shared chunks.
//!
//! Partitions lie one behind the other, by the hash of their columns: tiny ones share chunks, long
//! ones have many. A position counts rows from the start of the list.

use std::ops::Range;
use std::sync::Arc;

use arrangement::{Charge, hash_columns};
use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::Shape;
use super::order::{Line, Ranks, RowCompare, compare_once, longs, subs};

/// Rows that go to disk in one file.
const SETTLED_ROWS: usize = 1 << 15;

/// Rows of one chunk: all columns, in order. A row that is there twice is two rows.
#[derive(Default)]
pub(crate) struct Rows {
    pub columns: Vec<ArrayRef>,
    pub len: usize,
    /// Partitions: hash, and first row.
    parts: Vec<(u64, usize)>,
    /// Bytes its columns take in memory; 0 if they are on disk.
    pub resident: usize,
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
        let resident = columns.iter().map(bytes_of).sum();
        Ok(Rows { columns, len, parts, resident })
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

/// Chunks by number. A number that is given back is given out again.
#[derive(Default)]
pub(crate) struct Store {
    chunks: Vec<Arc<Rows>>,
    free: Vec<u32>,
}

impl Store {
    pub(crate) fn chunk(&self, id: u32) -> &Arc<Rows> {
        &self.chunks[id as usize]
    }

    fn add(&mut self, chunk: Rows) -> u32 {
        let chunk = Arc::new(chunk);
        match self.free.pop() {
            Some(id) => {
                self.chunks[id as usize] = chunk;
                id
            }
            None => {
                self.chunks.push(chunk);
                u32::try_from(self.chunks.len() - 1).expect("a window has fewer than 2^32 chunks")
            }
        }
    }

    /// Forget chunks that no order names any more.
    pub(crate) fn forget(&mut self, ids: Vec<u32>) {
        for id in &ids {
            self.chunks[*id as usize] = Arc::new(Rows::default());
        }
        self.free.extend(ids);
    }

    /// Put the chunks of `order` that are in memory on disk, as far as the disk takes them.
    pub(crate) fn settle(
        &mut self,
        order: &Order,
        resident: &mut Charge,
    ) -> Result<(), ArrowError> {
        let inside = |id: &u32| self.chunk(*id).resident > 0;
        let inside: Vec<u32> = order.ids.iter().copied().filter(inside).collect();
        let mut at = 0;
        while at < inside.len() {
            let mut rows = 0;
            let fits = |id: &&u32| {
                rows += self.chunk(**id).len;
                rows <= SETTLED_ROWS
            };
            let n = inside[at..].iter().take_while(fits).count().max(1);
            let group = &inside[at..at + n];
            at += n;
            let column = |c: usize| {
                let parts: Vec<&dyn Array> =
                    group.iter().map(|id| self.chunk(*id).columns[c].as_ref()).collect();
                concat(&parts)
            };
            let width = self.chunk(group[0]).columns.len();
            let columns = (0..width).map(column).collect::<Result<Vec<_>, _>>()?;
            let Some(columns) = resident.budget().spilled(&columns) else { return Ok(()) };
            let mut start = 0;
            let mut freed = 0;
            for id in group {
                let was = self.chunk(*id);
                let own = columns.iter().map(|c| c.slice(start, was.len)).collect();
                start += was.len;
                freed += was.resident;
                let (len, parts) = (was.len, was.parts.clone());
                self.chunks[*id as usize] =
                    Arc::new(Rows { columns: own, len, parts, resident: 0 });
            }
            resident.set(resident.bytes().saturating_sub(freed));
        }
        Ok(())
    }
}

/// Which chunks a list is made of. Making one from another touches no chunk.
#[derive(Default)]
pub(crate) struct Order {
    ids: Vec<u32>,
    /// Position of each chunk's first row.
    starts: Vec<usize>,
    /// Hash of each chunk's first partition.
    hashes: Vec<u64>,
    /// Rows of all chunks.
    len: usize,
}

impl Order {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Hash of each chunk's first partition.
    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Position of a chunk's first row.
    pub(crate) fn start(&self, chunk: usize) -> usize {
        self.starts[chunk]
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Add a chunk at the end.
    pub(crate) fn push(&mut self, store: &mut Store, chunk: Rows) {
        self.starts.push(self.len);
        self.hashes.push(chunk.first_hash());
        self.len += chunk.len;
        self.ids.push(store.add(chunk));
    }

    /// Add chunks of another order at the end.
    pub(crate) fn extend(&mut self, from: &Order, chunks: Range<usize>) {
        if chunks.is_empty() {
            return;
        }
        let (first, len) = (from.starts[chunks.start], self.len);
        self.starts.extend(from.starts[chunks.clone()].iter().map(|s| s - first + len));
        self.len += from.starts.get(chunks.end).copied().unwrap_or(from.len) - first;
        self.ids.extend_from_slice(&from.ids[chunks.clone()]);
        self.hashes.extend_from_slice(&from.hashes[chunks]);
    }
}

/// Chunks in order.
#[derive(Clone, Copy)]
pub(crate) struct List<'a> {
    order: &'a Order,
    store: &'a Store,
}

impl<'a> List<'a> {
    pub(crate) fn new(order: &'a Order, store: &'a Store) -> List<'a> {
        List { order, store }
    }

    /// The `k`-th chunk.
    #[inline]
    pub(crate) fn chunk(&self, k: usize) -> &'a Arc<Rows> {
        self.store.chunk(self.order.ids[k])
    }

    /// The first chunk, if there is one.
    pub(crate) fn first(&self) -> Option<&'a Arc<Rows>> {
        self.order.ids.first().map(|id| self.store.chunk(*id))
    }

    pub(crate) fn start(&self, chunk: usize) -> usize {
        self.order.starts[chunk]
    }

    /// Chunk and row of a position, which must exist.
    pub(crate) fn locate(&self, position: usize) -> (usize, usize) {
        let chunk = self.order.starts.partition_point(|s| *s <= position) - 1;
        (chunk, position - self.order.starts[chunk])
    }

    /// The positions of each partition.
    pub(crate) fn partitions(&self, shape: &Shape) -> Result<Vec<Range<usize>>, ArrowError> {
        let mut starts: Vec<usize> = vec![];
        let mut before: Option<&Rows> = None;
        for (k, start) in self.order.starts.iter().enumerate() {
            let chunk = self.chunk(k);
            let goes_on = match before {
                None => false,
                Some(before) => {
                    let by = &shape.by_partition;
                    compare_once((&before.columns, before.len - 1), (&chunk.columns, 0), by)?
                        .is_eq()
                }
            };
            let new = chunk.parts.iter().skip(usize::from(goes_on));
            starts.extend(new.map(|(_, row)| start + row));
            before = Some(chunk);
        }
        let ends = starts.iter().skip(1).copied().chain([self.order.len]);
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
            let chunk = self.order.hashes.partition_point(|h| *h < hash || !or_equal && *h == hash);
            match chunk.checked_sub(1) {
                None => 0,
                Some(last) => self.order.starts[last] + self.chunk(last).row_of(hash, or_equal),
            }
        };
        let same_hash = bound(true)..bound(false);
        if same_hash.is_empty() {
            return Ok(same_hash);
        }
        let by = &shape.by_partition;
        let at = |position: usize| {
            let (chunk, row) = self.locate(position);
            let columns = &self.chunk(chunk).columns;
            compare_once((columns, row), (key.columns, key.row), by)
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
        self.search(within, |chunk, row| {
            let columns = &self.chunk(chunk).columns;
            let order = compare_once((columns, row), (key.columns, key.row), by)?;
            Ok(order.is_lt() || after && order.is_eq())
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
        if within.is_empty() {
            return Ok(within.start);
        }
        let near = near.unwrap_or(within.start + within.len() / 2);
        let near = self.locate(near.clamp(within.start, within.end - 1)).0;
        let first = self.chunk_from(near, within.start);
        let last = self.chunk_from(near, within.end - 1);
        let below = |here: i128| here < rank || after && here == rank;
        // Rows of a chunk that are within.
        let rows = |k: usize| {
            let start = self.order.starts[k];
            let to = (start + self.chunk(k).len).min(within.end) - start;
            within.start.max(start) - start..to
        };
        let chunk = first_not(first..last + 1, near, |k| {
            Ok(below(shape.ranks(&self.chunk(k).columns)?.get(rows(k).end - 1)))
        })?;
        if chunk > last {
            return Ok(within.end);
        }
        let ranks = shape.ranks(&self.chunk(chunk).columns)?;
        let Range { start: mut lo, end: mut hi } = rows(chunk);
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            if below(ranks.get(mid)) { lo = mid + 1 } else { hi = mid }
        }
        Ok(self.order.starts[chunk] + lo)
    }

    /// The chunk of a position, looked for outward from a chunk.
    pub(crate) fn chunk_from(&self, near: usize, position: usize) -> usize {
        let behind =
            first_not(0..self.order.starts.len(), near, |k| Ok(self.order.starts[k] <= position));
        behind.map_or(near, |k| k.saturating_sub(1))
    }

    /// The sum of the 64-bit integers of a column at `range`; `None` if it is of others, or some
    /// are null.
    pub(crate) fn sum(&self, column: usize, range: Range<usize>) -> Option<i128> {
        let mut sum = 0;
        for (k, from, n) in self.pieces(range) {
            let array = &self.chunk(k).columns[column];
            let values = &longs(array).filter(|_| array.null_count() == 0)?[from..from + n];
            // In halves: neither can overflow, and both loops are vectorised.
            let low: i64 = values.iter().map(|v| v & 0xFFFF_FFFF).sum();
            let high: i64 = values.iter().map(|v| v >> 32).sum();
            sum += (i128::from(high) << 32) + i128::from(low);
        }
        Some(sum)
    }

    /// Tell (chunk, row, position) of the rows at `range` whose number in `column` is `sub`.
    pub(crate) fn with_sub(
        &self,
        column: usize,
        range: Range<usize>,
        sub: u32,
        mut tell: impl FnMut(usize, usize, usize),
    ) {
        for (k, from, n) in self.pieces(range) {
            let numbers = &subs(&self.chunk(k).columns[column])[from..from + n];
            for (i, _) in numbers.iter().enumerate().filter(|(_, s)| **s == sub) {
                tell(k, from + i, self.order.starts[k] + from + i);
            }
        }
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
        let first = self.order.starts.partition_point(|s| *s <= range.start).saturating_sub(1);
        let piece = move |k: usize| {
            let (start, end) = (self.order.starts[k], self.order.starts[k] + self.chunk(k).len);
            let (from, to) = (range.start.max(start), range.end.min(end));
            (from < to).then(|| (k, from - start, to - from))
        };
        let end = range.end;
        (first..self.order.ids.len())
            .take_while(move |k| self.order.starts[*k] < end)
            .filter_map(piece)
    }

    /// Rows of a column at `range`, as one array of type `t`.
    pub(crate) fn flat(
        &self,
        column: usize,
        range: Range<usize>,
        t: &DataType,
    ) -> Result<ArrayRef, ArrowError> {
        let piece = |(k, from, n): (usize, usize, usize)| -> ArrayRef {
            self.chunk(k).columns[column].slice(from, n)
        };
        let cut: Vec<ArrayRef> = self.pieces(range).map(piece).collect();
        match cut.as_slice() {
            [] => Ok(new_empty_array(t)),
            [one] => Ok(one.clone()),
            many => concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
        }
    }

    /// Where the rows at `range` stand.
    pub(crate) fn line(&self, shape: &Shape, range: Range<usize>) -> Result<Line, ArrowError> {
        let mut short = Vec::with_capacity(range.len());
        let mut long = vec![];
        for (k, from, n) in self.pieces(range) {
            let ranks = shape.ranks(&self.chunk(k).columns)?;
            match ranks.short() {
                Some(values) if long.is_empty() => short.extend_from_slice(&values[from..from + n]),
                _ => {
                    long.extend(short.drain(..).map(i128::from));
                    long.extend((from..from + n).map(|i| ranks.get(i)));
                }
            }
        }
        Ok(Line::new(short, long))
    }

    /// Numbers of the sub-partitions of the rows at `range`.
    pub(crate) fn subs(&self, column: usize, range: Range<usize>) -> Vec<u32> {
        let mut all = Vec::with_capacity(range.len());
        for (k, from, n) in self.pieces(range) {
            all.extend_from_slice(&subs(&self.chunk(k).columns[column])[from..from + n]);
        }
        all
    }
}

/// Bytes of the values of a column, about.
fn bytes_of(column: &ArrayRef) -> usize {
    let data = column.to_data();
    data.get_slice_memory_size().unwrap_or(0)
}

/// The first of `range` that is not `below`, which holds for a prefix of it, looked for outward
/// from `near`.
fn first_not(
    range: Range<usize>,
    near: usize,
    mut below: impl FnMut(usize) -> Result<bool, ArrowError>,
) -> Result<usize, ArrowError> {
    let (mut lo, mut hi) = (range.start, range.end);
    let mut step = 1;
    if below(near)? {
        lo = near + 1;
        while lo + step <= hi {
            let k = lo + step - 1;
            if !below(k)? {
                hi = k;
                break;
            }
            lo = k + 1;
            step *= 2;
        }
    } else {
        hi = near;
        while hi >= lo + step {
            let k = hi - step;
            if below(k)? {
                lo = k + 1;
                break;
            }
            hi = k;
            step *= 2;
        }
    }
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        if below(mid)? { lo = mid + 1 } else { hi = mid }
    }
    Ok(lo)
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
