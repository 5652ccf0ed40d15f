//! Changes of one time, sorted, and merged into the list.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use arrangement::Updates;
use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;

use super::Shape;
use super::laid::{Laid, joined, taken};
use super::list::{Order, Rows, Store};
use super::order::{RowCompare, compare_once};

/// Rows a chunk is made with; it is split at twice as many. Copies of one row are never split.
#[cfg(not(test))]
pub(crate) const CHUNK_ROWS: usize = 128;
/// In tests everything straddles chunks.
#[cfg(test)]
pub(crate) const CHUNK_ROWS: usize = 4;

/// Copies of one row added (or taken away).
pub(crate) struct Change {
    /// Where its columns are.
    pub row: usize,
    /// Hash of its partition.
    pub hash: u64,
    /// How many copies; not zero.
    pub count: i64,
}

/// All changes of one time, in the order of the list.
#[derive(Default)]
pub(crate) struct Changes {
    pub columns: Vec<ArrayRef>,
    pub rows: Vec<Change>,
    /// The changes of each partition.
    pub partitions: Vec<Range<usize>>,
}

/// Where rows went in (positions after) and out (positions before), ascending.
#[derive(Default)]
pub(crate) struct Edit {
    pub inserted: Vec<usize>,
    pub deleted: Vec<usize>,
}

/// A row by what orders it first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    hash: u64,
    /// Order-preserving, but may be the same for different ranks.
    rank: i64,
    row: u32,
}

impl Changes {
    /// Sort `updates`, which hold all columns; equal rows become one, rows that cancel go.
    pub(crate) fn sorted(shape: &Shape, updates: &Updates) -> Result<Changes, ArrowError> {
        let columns = updates.columns.clone();
        let hashes = shape.hashes(&columns, updates.len());
        let mut places: Vec<Place> = Vec::with_capacity(updates.len());
        let ranks = if shape.whole { Some(shape.ranks(&columns)?) } else { None };
        for (row, hash) in hashes.into_iter().enumerate() {
            let rank = ranks.as_ref().map_or(0, |r| {
                let bounds = i128::from(i64::MIN)..=i128::from(i64::MAX);
                r.get(row).clamp(*bounds.start(), *bounds.end()) as i64
            });
            places.push(Place { hash, rank, row: index(row) });
        }
        drop(ranks);
        places.sort_unstable();
        let compare = RowCompare::new(&columns, &columns, &shape.by_all)?;
        let rows = |a: &Place, b: &Place| compare.compare(a.row as usize, b.row as usize);
        for same in places.chunk_by_mut(|a, b| a.hash == b.hash) {
            match one_partition(shape, same, &columns)? {
                true => {
                    for tied in same.chunk_by_mut(|a, b| a.rank == b.rank) {
                        if tied.len() > 1 {
                            tied.sort_unstable_by(rows);
                        }
                    }
                }
                false => same.sort_unstable_by(rows),
            }
        }
        let mut changes: Vec<Change> = vec![];
        for same in
            places.chunk_by(|a, b| a.hash == b.hash && a.rank == b.rank && rows(a, b).is_eq())
        {
            let count = same.iter().map(|p| updates.count.get(p.row as usize)).sum();
            if count != 0 {
                changes.push(Change { row: same[0].row as usize, hash: same[0].hash, count });
            }
        }
        let by = RowCompare::new(&columns, &columns, &shape.by_partition)?;
        let mut partitions = vec![];
        let mut start = 0;
        for part in
            changes.chunk_by(|a, b| a.hash == b.hash && by.compare(a.row, b.row) == Ordering::Equal)
        {
            partitions.push(start..start + part.len());
            start += part.len();
        }
        Ok(Changes { columns, rows: changes, partitions })
    }
}

/// Whether rows that share a hash are of one partition.
fn one_partition(
    shape: &Shape,
    places: &[Place],
    columns: &[ArrayRef],
) -> Result<bool, ArrowError> {
    if places.len() < 2 {
        return Ok(true);
    }
    let compare = RowCompare::new(columns, columns, &shape.by_partition)?;
    let first = places[0].row as usize;
    Ok(places.iter().all(|p| compare.compare(first, p.row as usize).is_eq()))
}

/// Rows that were taken away before they came, encoded whole: they cancel when they come.
pub(crate) type Owed = BTreeMap<Box<[u8]>, i64>;

/// A list with changes made.
pub(crate) struct Applied {
    pub order: Order,
    pub edit: Edit,
    /// Bytes of chunks in memory: more than before.
    pub bytes: isize,
    /// Chunks that are no more part of it.
    pub retired: Vec<u32>,
}

/// The list `old` with `changes` made.
pub(crate) fn apply(
    shape: &Shape,
    store: &mut Store,
    old: &Order,
    changes: &Changes,
    owed: &mut Owed,
) -> Result<Applied, ArrowError> {
    let made =
        Applied { order: Order::default(), edit: Edit::default(), bytes: 0, retired: vec![] };
    let mut merging = Merging { shape, store, changes, owed, made };
    if old.is_empty() {
        match merging.owed.is_empty() && changes.rows.iter().all(|c| c.count > 0) {
            true => merging.load()?,
            false => merging.merge(None, 0, 0..changes.rows.len())?,
        }
        return Ok(merging.made);
    }
    let ids = old.ids();
    let mut next = 0;
    let mut done = 0;
    while next < changes.rows.len() {
        // A chunk owns the rows up to the next chunk's first.
        let hash = changes.rows[next].hash;
        let below = done + old.hashes()[done..].partition_point(|h| *h < hash);
        let same = old.hashes()[below..].partition_point(|h| *h == hash);
        let behind = ids[below..below + same]
            .partition_point(|id| merging.against(*id, next).is_ok_and(Ordering::is_le));
        let owner = (below + behind).saturating_sub(1).max(done);
        merging.made.order.extend(old, done..owner);
        let mut end = next + 1;
        match ids.get(owner + 1) {
            None => end = changes.rows.len(),
            Some(upper) => {
                while end < changes.rows.len() && merging.against(*upper, end)?.is_gt() {
                    end += 1;
                }
            }
        }
        merging.merge(Some(ids[owner]), old.start(owner), next..end)?;
        next = end;
        done = owner + 1;
    }
    merging.made.order.extend(old, done..ids.len());
    Ok(merging.made)
}

struct Merging<'a> {
    shape: &'a Shape,
    store: &'a mut Store,
    changes: &'a Changes,
    owed: &'a mut Owed,
    made: Applied,
}

impl Merging<'_> {
    /// The first row of a chunk against change `i`.
    fn against(&self, id: u32, i: usize) -> Result<Ordering, ArrowError> {
        let chunk = self.store.chunk(id);
        let change = &self.changes.rows[i];
        let hashes = chunk.first_hash().cmp(&change.hash);
        if hashes.is_ne() {
            return Ok(hashes);
        }
        let key = (self.changes.columns.as_slice(), change.row);
        compare_once((&chunk.columns, 0), key, &self.shape.by_all)
    }

    fn push(&mut self, columns: Vec<ArrayRef>, len: usize) -> Result<(), ArrowError> {
        let chunk = Rows::new(self.shape, columns, len)?;
        self.made.bytes += chunk.resident as isize;
        self.made.order.push(self.store, chunk);
        Ok(())
    }

    /// Everything is new.
    fn load(&mut self) -> Result<(), ArrowError> {
        let mut part: Vec<u32> = vec![];
        let changes = self.changes;
        for (i, change) in changes.rows.iter().enumerate() {
            let copies = usize::try_from(change.count).unwrap_or(0);
            part.extend(std::iter::repeat_n(index(change.row), copies));
            if part.len() >= CHUNK_ROWS || i + 1 == changes.rows.len() {
                let rows = std::mem::take(&mut part);
                self.push(taken(&changes.columns, &rows)?, rows.len())?;
            }
        }
        self.made.edit.inserted = (0..self.made.order.len()).collect();
        Ok(())
    }

    /// Merge some changes into the chunk `chunk`, which begins at position `start` of the old list.
    fn merge(
        &mut self,
        chunk: Option<u32>,
        start: usize,
        changes: Range<usize>,
    ) -> Result<(), ArrowError> {
        self.made.retired.extend(chunk);
        let chunk = chunk.map(|id| self.store.chunk(id).clone());
        let chunk = chunk.as_ref();
        let columns = &self.changes.columns;
        let empty: Vec<ArrayRef> = columns.iter().map(|c| c.slice(0, 0)).collect();
        let own = chunk.map_or(&empty, |c| &c.columns);
        let len = chunk.map_or(0, |c| c.len);
        self.made.bytes -= chunk.map_or(0, |c| c.resident) as isize;
        let compare = RowCompare::new(own, columns, &self.shape.by_all)?;
        let hash = |at: usize| chunk.map_or(0, |c| c.hash(at));
        let mut laid = Laid::default();
        let mut at = 0;
        for change in &self.changes.rows[changes] {
            let against =
                |i: usize| hash(i).cmp(&change.hash).then_with(|| compare.compare(i, change.row));
            let found = partition_point(at..len, |i| against(i).is_lt());
            laid.add(0, at, found - at);
            at = found;
            let mut count = change.count;
            if !self.owed.is_empty() {
                count += self.owed.remove(&self.shape.encoded(columns, change.row)?).unwrap_or(0);
            }
            while count < 0 && at < len && against(at).is_eq() {
                self.made.edit.deleted.push(start + at);
                at += 1;
                count += 1;
            }
            if count < 0 {
                self.owed.insert(self.shape.encoded(columns, change.row)?, count);
            }
            for _ in 0..count.max(0) {
                self.made.edit.inserted.push(self.made.order.len() + laid.len);
                laid.add(1, change.row, 1);
            }
        }
        laid.add(0, at, len - at);
        let sources = [own.as_slice(), columns.as_slice()];
        for part in laid.parts(sources, &self.shape.by_all)? {
            let made = joined(sources, &laid.part(&part), part.len())?;
            self.push(made, part.len())?;
        }
        Ok(())
    }
}

/// The first of `range` that is not `below`.
fn partition_point(range: Range<usize>, below: impl Fn(usize) -> bool) -> usize {
    let (mut lo, mut hi) = (range.start, range.end);
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        if below(mid) { lo = mid + 1 } else { hi = mid }
    }
    lo
}

fn index(row: usize) -> u32 {
    u32::try_from(row).expect("a batch has fewer than 2^32 rows")
}

impl Shape {
    /// A whole row as bytes.
    fn encoded(&self, columns: &[ArrayRef], row: usize) -> Result<Box<[u8]>, ArrowError> {
        let one: Vec<ArrayRef> = columns.iter().map(|c| c.slice(row, 1)).collect();
        debug_assert!(one.iter().all(|c| c.len() == 1));
        Ok(self.encoder.convert_columns(&one)?.row(0).data().into())
    }
}
