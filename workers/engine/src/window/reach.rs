//! Which rows see a change, and what they see.
//!
//! A frame [a, b] around a row covers a change exactly if the row lies in [change − b, change − a].
//! Frames counted in rows shift when a row comes or goes between the row and its frame's ends, so
//! there a and b are widened to include the row itself.
//!
//! Functions that share a frame form a [`Group`]: a change reaches each group's rows apart from the
//! other groups', so that a median over the same hour of four weeks is not computed again for the
//! 168 hours of a rolling sum.

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::Shape;
use super::list::{Key, List};
use super::merge::{Changes, Edit};
use super::order::{is_whole, moved, subs};
use crate::plan::{Bound, Frame, FrameUnits, OrderColumn, WindowFunction, WindowKind};

/// Rows more, times groups more, for which one run is cheaper than two.
const JOIN_COST: usize = 64;

/// A set of groups, one bit each; all groups from the 63rd on share one.
pub(crate) type Groups = u64;

/// All of `groups` groups.
pub(crate) fn all(groups: usize) -> Groups {
    if groups >= 64 { Groups::MAX } else { (1 << groups.max(1)) - 1 }
}

/// The bit of group `g`.
pub(crate) fn bit(g: usize) -> Groups {
    1 << g.min(63)
}

/// What a function sees of other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// The rows of a frame.
    Frame(Frame),
    /// One row so far before (behind, if negative).
    Row(i64),
    /// Nothing but how many are before.
    Number,
}

/// What some functions have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub sees: Sees,
    /// The column that numbers sub-partitions: only rows with the same number are seen.
    pub sub: Option<usize>,
}

impl Group {
    pub(crate) fn of(function: &WindowFunction, sub: Option<usize>) -> Group {
        let sees = match function.kind {
            WindowKind::RowNumber => Sees::Number,
            WindowKind::Lag { offset } => Sees::Row(offset),
            _ => Sees::Frame(function.frame),
        };
        Group { sees, sub }
    }

    /// How many rows before and behind itself a row looks; `None` is to the end. For groups that
    /// count rows.
    fn rows(&self) -> (Option<usize>, Option<usize>) {
        match self.sees {
            Sees::Row(offset) => (Some(steps(offset)), Some(steps(-offset))),
            Sees::Number => (None, Some(0)),
            Sees::Frame(frame) => {
                let before = offset(frame.start).map(|o| steps(-o));
                (before, offset(frame.end).map(steps))
            }
        }
    }

    /// The frame, if it is one that measures distances.
    pub(crate) fn measured(&self) -> Option<Frame> {
        match self.sees {
            Sees::Frame(frame) if frame.units == FrameUnits::Range => Some(frame),
            _ => None,
        }
    }
}

/// Rows to compute: positions before and after, and which of them came and went.
pub(crate) struct Run {
    pub old: Range<usize>,
    pub new: Range<usize>,
    /// Of all that were deleted, those of this run; likewise inserted.
    pub deleted: Range<usize>,
    pub inserted: Range<usize>,
    /// Groups that rows which stayed may see differently.
    pub changed: Groups,
}

impl Run {
    /// Rows of which there were none before.
    pub(crate) fn loaded(new: Range<usize>) -> Run {
        Run { old: 0..0, new, deleted: 0..0, inserted: 0..0, changed: 0 }
    }
}

/// A partition before and after.
pub(crate) struct Partition {
    pub old: Range<usize>,
    pub new: Range<usize>,
}

/// A window's rows before and after a time.
pub(crate) struct Lists<'a> {
    pub shape: &'a Shape,
    pub old: List<'a>,
    pub new: List<'a>,
}

/// Whether the order columns allow the frames of `groups`.
pub(crate) fn check(
    input: &SchemaRef,
    order: &[OrderColumn],
    groups: &[Group],
) -> Result<(), ArrowError> {
    let far = |b: Bound| matches!(b, Bound::Offset(o) if o != 0);
    let distant = |f: Frame| far(f.start) || far(f.end);
    let counted = matches!(order, [one] if is_whole(input.field(one.column).data_type()));
    if groups.iter().filter_map(Group::measured).any(distant) && !counted {
        return Err(ArrowError::NotYetImplemented(
            "RANGE frames with a distance need one order column of an integer, date or timestamp \
             type"
                .into(),
        ));
    }
    Ok(())
}

/// Which of all edited positions lie in a partition.
struct Edited<'a> {
    start: usize,
    /// Index of the first in the edit.
    first: usize,
    positions: &'a [usize],
}

impl<'a> Edited<'a> {
    fn new(all: &'a [usize], partition: &Range<usize>) -> Edited<'a> {
        let first = all.partition_point(|p| *p < partition.start);
        let end = first + all[first..].partition_point(|p| *p < partition.end);
        Edited { start: partition.start, first, positions: &all[first..end] }
    }

    /// Rows that stayed, before the `i`-th edited one.
    fn stayed_before(&self, i: usize) -> usize {
        self.positions[i] - self.start - i
    }

    /// Rows that stayed, before a position.
    fn stayed(&self, position: usize) -> usize {
        position - self.start - self.positions.partition_point(|p| *p < position)
    }

    /// Edited rows with fewer than `stayed` rows that stayed before them.
    fn before(&self, stayed: usize) -> usize {
        let (mut lo, mut hi) = (0, self.positions.len());
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            if self.stayed_before(mid) < stayed { lo = mid + 1 } else { hi = mid }
        }
        lo
    }
}

/// Rows that stayed, counted from the partition's start, and the groups in which they may see a
/// change. What came or went before a row that stayed belongs to it.
type Segment = (Range<usize>, Groups);

/// The rows to compute for `changes` of one partition, as few runs as they form.
pub(crate) fn runs(
    lists: &Lists<'_>,
    groups: &[Group],
    partition: &Partition,
    changes: &Changes,
    of: Range<usize>,
    edit: &Edit,
) -> Result<Vec<Run>, ArrowError> {
    let deleted = Edited::new(&edit.deleted, &partition.old);
    let inserted = Edited::new(&edit.inserted, &partition.new);
    let (n_old, n_new) = (partition.old.len(), partition.new.len());
    let stayed = n_new - inserted.positions.len();
    let all = all(groups.len());
    let mut segments: Vec<Segment> = vec![];
    if n_old == 0 || n_new == 0 || of.len() * 8 > n_new {
        segments.push((0..stayed + 1, all));
    } else {
        for edited in [&deleted, &inserted] {
            for i in 0..edited.positions.len() {
                let at = edited.stayed_before(i);
                segments.push((at..at + 1, all));
            }
        }
        let reaching =
            Reaching { lists, groups, partition, deleted: &deleted, inserted: &inserted };
        let mut last: Option<usize> = None;
        for change in &changes.rows[of] {
            let same = |l: usize| reaching.reach_alike(changes, l, change.row);
            if !last.map_or(Ok(false), same)? {
                reaching.seen_from(changes, change.row, &mut segments)?;
            }
            last = Some(change.row);
        }
    }
    let run = |(kept, changed): Segment| {
        let (gone, come) = (
            deleted.before(kept.start)..deleted.before(kept.end),
            inserted.before(kept.start)..inserted.before(kept.end),
        );
        let range = |partition: &Range<usize>, edited: &Range<usize>| {
            let from = partition.start + kept.start.min(stayed) + edited.start;
            from..partition.start + kept.end.min(stayed) + edited.end
        };
        Run {
            old: range(&partition.old, &gone),
            new: range(&partition.new, &come),
            deleted: deleted.first + gone.start..deleted.first + gone.end,
            inserted: inserted.first + come.start..inserted.first + come.end,
            changed,
        }
    };
    let runs = joined(swept(segments)).into_iter().map(run);
    Ok(runs.filter(|r| !r.old.is_empty() || !r.new.is_empty()).collect())
}

struct Reaching<'a> {
    lists: &'a Lists<'a>,
    groups: &'a [Group],
    partition: &'a Partition,
    deleted: &'a Edited<'a>,
    inserted: &'a Edited<'a>,
}

impl Reaching<'_> {
    /// Whether two changes are seen from the same rows.
    fn reach_alike(&self, changes: &Changes, a: usize, b: usize) -> Result<bool, ArrowError> {
        let shape = self.lists.shape;
        if !shape.whole || !self.groups.iter().all(|g| g.measured().is_some()) {
            return Ok(false);
        }
        let ranks = shape.ranks(&changes.columns)?;
        let sub = |c: usize, row: usize| subs(&changes.columns[c])[row];
        let mut numbered = self.groups.iter().filter_map(|g| g.sub);
        Ok(ranks.get(a) == ranks.get(b) && numbered.all(|c| sub(c, a) == sub(c, b)))
    }

    /// Note the rows from which the change in `row` is seen.
    fn seen_from(
        &self,
        changes: &Changes,
        row: usize,
        segments: &mut Vec<Segment>,
    ) -> Result<(), ArrowError> {
        let key = Key { columns: &changes.columns, row };
        let &Lists { shape, old, new } = self.lists;
        let in_new = |q: Range<usize>| self.inserted.stayed(q.start)..self.inserted.stayed(q.end);
        let in_old = |q: Range<usize>| self.deleted.stayed(q.start)..self.deleted.stayed(q.end);
        let mut near = None;
        for (g, group) in self.groups.iter().enumerate() {
            if let Some(frame) = group.measured() {
                let (before, after) = (offset(frame.end), offset(frame.start).map(|o| -o));
                let seen = around(shape, new, &self.partition.new, key, near, before, after)?;
                near = near.or(Some(seen.start)).filter(|n| self.partition.new.contains(n));
                match group.sub {
                    None => segments.push((in_new(seen), bit(g))),
                    Some(column) => {
                        let sub = subs(&changes.columns[column])[row];
                        new.with_sub(column, seen, sub, |_, _, position| {
                            let at = self.inserted.stayed(position);
                            segments.push((at..at + 1, bit(g)));
                        });
                    }
                }
                continue;
            }
            let (before, behind) = group.rows();
            let seen = |list: List<'_>, partition: &Range<usize>| -> Result<_, ArrowError> {
                let at = list.position(partition.clone(), &shape.by_all, key, false)?;
                let end = list.position(partition.clone(), &shape.by_all, key, true)?;
                let from = behind.map_or(partition.start, |b| at.saturating_sub(b));
                let to = before.map_or(partition.end, |b| end + b);
                Ok(from.max(partition.start)..to.min(partition.end))
            };
            segments.push((in_new(seen(new, &self.partition.new)?), bit(g)));
            segments.push((in_old(seen(old, &self.partition.old)?), bit(g)));
        }
        Ok(())
    }
}

/// Segments in order that do not overlap: each row has all its groups.
fn swept(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.retain(|(rows, _)| !rows.is_empty());
    if segments.len() < 2 {
        return segments;
    }
    // Ends, and which segments begin or stop there.
    let mut ends: Vec<(usize, bool, Groups)> = vec![];
    for (rows, groups) in &segments {
        ends.push((rows.start, true, *groups));
        ends.push((rows.end, false, *groups));
    }
    ends.sort_unstable_by_key(|e| e.0);
    let mut open = [0u32; 64];
    let mut swept: Vec<Segment> = vec![];
    let mut now: Groups = 0;
    for (i, (at, begins, groups)) in ends.iter().enumerate() {
        let mut left = *groups;
        while left != 0 {
            let g = left.trailing_zeros() as usize;
            left &= left - 1;
            if *begins {
                open[g] += 1
            } else {
                open[g] -= 1
            }
            if open[g] > 0 { now |= 1 << g } else { now &= !(1 << g) }
        }
        let next = ends.get(i + 1).map_or(*at, |e| e.0);
        if now == 0 || next == *at {
            continue;
        }
        match swept.last_mut() {
            Some((rows, same)) if rows.end == *at && *same == now => rows.end = next,
            _ => swept.push((*at..next, now)),
        }
    }
    swept
}

/// Neighbours made one where that is cheaper than computing them apart.
fn joined(segments: Vec<Segment>) -> Vec<Segment> {
    let mut joined: Vec<Segment> = vec![];
    for (rows, groups) in segments {
        if let Some((last, theirs)) = joined.last_mut()
            && last.end == rows.start
        {
            let more = |own: Groups| ((groups | *theirs) & !own).count_ones() as usize;
            if last.len() * more(*theirs) + rows.len() * more(groups) <= JOIN_COST {
                last.end = rows.end;
                *theirs |= groups;
                continue;
            }
        }
        joined.push((rows, groups));
    }
    joined
}

/// Positions of `list` that the rows at `wanted` see in the `groups` that have no sub-partitions,
/// themselves included.
pub(crate) fn sight<'a>(
    shape: &Shape,
    list: List<'_>,
    partition: &Range<usize>,
    wanted: &Range<usize>,
    groups: impl Iterator<Item = &'a Group>,
) -> Result<Range<usize>, ArrowError> {
    let mut sight = wanted.clone();
    if wanted.is_empty() {
        return Ok(sight);
    }
    // The farthest distances: none, so far, or to the end.
    let (mut low, mut high) = (Some(0), Some(0));
    let mut peers = false;
    for group in groups.filter(|g| g.sub.is_none()) {
        match group.measured() {
            Some(frame) => {
                peers = true;
                low = low.zip(offset(frame.start)).map(|(l, o)| l.min(o));
                high = high.zip(offset(frame.end)).map(|(h, o)| h.max(o));
            }
            None => {
                let (before, behind) = match group.sees {
                    Sees::Number => (Some(0), Some(0)),
                    _ => group.rows(),
                };
                let from = before.map_or(0, |b| wanted.start.saturating_sub(b));
                let to = behind.map_or(partition.end, |b| wanted.end + b);
                sight.start = sight.start.min(from.max(partition.start));
                sight.end = sight.end.max(to.min(partition.end));
            }
        }
    }
    if !peers {
        return Ok(sight);
    }
    let (chunk, row) = list.locate(wanted.start);
    let first = Key { columns: &list.chunk(chunk).columns, row };
    let near = Some(wanted.start);
    let seen = around(shape, list, partition, first, near, low.map(|l| -l), Some(0))?;
    sight.start = sight.start.min(seen.start);
    let (chunk, row) = list.locate(wanted.end - 1);
    let last = Key { columns: &list.chunk(chunk).columns, row };
    let seen = around(shape, list, partition, last, Some(wanted.end - 1), Some(0), high)?;
    sight.end = sight.end.max(seen.end);
    Ok(sight)
}

/// Positions of `partition` whose order value is at most `before` below and `after` above that of
/// `key`, which is near `near`, if that is known.
pub(crate) fn around(
    shape: &Shape,
    list: List<'_>,
    partition: &Range<usize>,
    key: Key<'_>,
    near: Option<usize>,
    before: Option<i64>,
    after: Option<i64>,
) -> Result<Range<usize>, ArrowError> {
    if shape.order.is_empty() {
        return Ok(partition.clone());
    }
    let rank = match shape.whole {
        true => Some(shape.ranks(key.columns)?.get(key.row)),
        false => None,
    };
    // Without whole numbers there are no distances: only peers.
    let bound = |by: i64, near: Option<usize>, after: bool| match rank {
        Some(rank) => list.position_of_rank(shape, partition.clone(), near, moved(rank, by), after),
        None => list.position(partition.clone(), &shape.by_order, key, after),
    };
    let start = match before {
        None => partition.start,
        Some(b) => bound(-b, near, false)?,
    };
    let end = match after {
        None => partition.end,
        Some(a) => bound(a, near.or(before.map(|_| start)), true)?,
    };
    Ok(start..end.max(start))
}

fn steps(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn offset(bound: Bound) -> Option<i64> {
    match bound {
        Bound::Unbounded => None,
        Bound::Offset(o) => Some(o),
    }
}
