//! Which rows see a change, and which rows a row sees.
//!
//! A frame [a, b] around a row covers a change exactly if the row lies in [change − b, change − a].
//! Frames counted in rows shift when a row comes or goes between the row and its frame's ends, so
//! there a and b are widened to include the row itself.

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::Shape;
use super::list::{Key, List};
use super::merge::{Change, Changes, Edit};
use super::order::{is_whole, moved};
use crate::plan::{Bound, FrameUnits, OrderColumn, WindowFunction, WindowKind};

/// Rows to compute: positions before and after, and which of them came and went.
pub(crate) struct Run {
    pub old: Range<usize>,
    pub new: Range<usize>,
    pub deleted: Vec<usize>,
    pub inserted: Vec<usize>,
}

/// A partition before and after.
pub(crate) struct Partition {
    pub old: Range<usize>,
    pub new: Range<usize>,
}

/// Distances from a row to the ends of what it sees; `None` is the partition's end.
#[derive(Clone, Copy, Debug)]
struct Span {
    before: Option<i64>,
    after: Option<i64>,
}

impl Span {
    fn widen(self, other: Span) -> Span {
        let far = |a: Option<i64>, b: Option<i64>| Some(a?.max(b?));
        Span { before: far(self.before, other.before), after: far(self.after, other.after) }
    }
}

/// What all functions of a window see together.
pub(crate) struct Reach {
    /// In rows.
    rows: Span,
    /// In units of the order column, if any frame counts them; else peers.
    range: Option<Span>,
}

impl Reach {
    pub(crate) fn new(
        input: &SchemaRef,
        order: &[OrderColumn],
        functions: &[WindowFunction],
    ) -> Result<Self, ArrowError> {
        let mut rows = Span { before: Some(0), after: Some(0) };
        let mut range: Option<Span> = None;
        for f in functions {
            match (&f.kind, f.frame.units) {
                (WindowKind::RowNumber, _) => {
                    // Seen from every row behind; it looks at none.
                    rows = rows.widen(Span { before: None, after: Some(0) });
                }
                (WindowKind::Lag { offset }, _) => {
                    let (before, after) = (Some((*offset).max(0)), Some((-*offset).max(0)));
                    rows = rows.widen(Span { before, after });
                }
                (_, FrameUnits::Rows) => rows = rows.widen(span(f.frame.start, f.frame.end)),
                (_, FrameUnits::Range) => {
                    let wide = span(f.frame.start, f.frame.end);
                    range = Some(range.map_or(wide, |r| r.widen(wide)));
                }
            }
        }
        let far = |s: Span| s.before.is_some_and(|b| b != 0) || s.after.is_some_and(|a| a != 0);
        let counted = matches!(order, [one] if is_whole(input.field(one.column).data_type()));
        if range.is_some_and(far) && !counted {
            return Err(ArrowError::NotYetImplemented(
                "RANGE frames with a distance need one order column of an integer, date or \
                 timestamp type"
                    .into(),
            ));
        }
        Ok(Reach { rows, range })
    }

    /// The rows to compute for `changes` of one partition, as few runs as they form.
    pub(crate) fn runs(
        &self,
        lists: &Lists<'_>,
        partition: &Partition,
        changes: &Changes,
        of: Range<usize>,
        edit: &Edit,
    ) -> Result<Vec<Run>, ArrowError> {
        let (n_old, n_new) = (partition.old.len(), partition.new.len());
        let parts = if n_old == 0 || n_new == 0 || of.len() * 8 > n_new {
            vec![(partition.old.clone(), partition.new.clone())]
        } else {
            let mut parts: Vec<(Range<usize>, Range<usize>)> = vec![];
            for change in &changes.rows[of] {
                let old =
                    self.seen_from(lists.shape, lists.old, &partition.old, changes, change)?;
                let new =
                    self.seen_from(lists.shape, lists.new, &partition.new, changes, change)?;
                match parts.last_mut() {
                    Some((o, n)) if old.start <= o.end || new.start <= n.end => {
                        o.start = o.start.min(old.start);
                        n.start = n.start.min(new.start);
                        o.end = o.end.max(old.end);
                        n.end = n.end.max(new.end);
                    }
                    _ => parts.push((old, new)),
                }
            }
            parts
        };
        let within = |all: &[usize], r: &Range<usize>| -> Vec<usize> {
            let from = all.partition_point(|p| *p < r.start);
            let to = all.partition_point(|p| *p < r.end);
            all[from..to].to_vec()
        };
        let run = |(old, new): (Range<usize>, Range<usize>)| Run {
            deleted: within(&edit.deleted, &old),
            inserted: within(&edit.inserted, &new),
            old,
            new,
        };
        Ok(parts.into_iter().map(run).collect())
    }

    /// Positions of `list` from which `change` is seen.
    fn seen_from(
        &self,
        shape: &Shape,
        list: &List,
        partition: &Range<usize>,
        changes: &Changes,
        change: &Change,
    ) -> Result<Range<usize>, ArrowError> {
        let key = Key { columns: &changes.columns, row: change.row };
        let mut seen: Option<Range<usize>> = None;
        if let Some(range) = self.range {
            seen = Some(around(shape, list, partition, key, None, range.after, range.before)?);
        }
        let none = self.rows.before == Some(0) && self.rows.after == Some(0);
        if !(none && seen.is_some()) {
            let at = list.position(partition.clone(), &shape.by_all, key, false)?;
            let end = list.position(partition.clone(), &shape.by_all, key, true)?;
            let back = match self.rows.after {
                None => partition.start,
                Some(a) => at.saturating_sub(steps(a)).max(partition.start),
            };
            let ahead = match self.rows.before {
                None => partition.end,
                Some(b) => (end + steps(b)).min(partition.end),
            };
            seen = Some(match seen {
                None => back..ahead,
                Some(s) => s.start.min(back)..s.end.max(ahead),
            });
        }
        Ok(seen.unwrap_or_else(|| partition.clone()))
    }

    /// Positions of `list` that the rows at `seen` see, themselves included.
    pub(crate) fn sight(
        &self,
        shape: &Shape,
        list: &List,
        partition: &Range<usize>,
        seen: &Range<usize>,
    ) -> Result<Range<usize>, ArrowError> {
        let back = match self.rows.before {
            None => partition.start,
            Some(b) => seen.start.saturating_sub(steps(b)).max(partition.start),
        };
        let ahead = match self.rows.after {
            None => partition.end,
            Some(a) => (seen.end + steps(a)).min(partition.end),
        };
        let mut sight = back.min(seen.start)..ahead.max(seen.end);
        if let (Some(range), false) = (self.range, seen.is_empty()) {
            let (chunk, row) = list.locate(seen.start);
            let first = Key { columns: &list.chunks()[chunk].columns, row };
            let near = Some(seen.start);
            let low = around(shape, list, partition, first, near, range.before, Some(0))?;
            let (chunk, row) = list.locate(seen.end - 1);
            let last = Key { columns: &list.chunks()[chunk].columns, row };
            let near = Some(seen.end - 1);
            let high = around(shape, list, partition, last, near, Some(0), range.after)?;
            sight.start = sight.start.min(low.start);
            sight.end = sight.end.max(high.end);
        }
        Ok(sight)
    }
}

/// A window's rows before and after a time.
pub(crate) struct Lists<'a> {
    pub shape: &'a Shape,
    pub old: &'a List,
    pub new: &'a List,
}

/// Positions of `partition` whose order value is at most `before` below and `after` above that of
/// `key`, which is at `near`, if that is known.
fn around(
    shape: &Shape,
    list: &List,
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

/// How far a frame reaches to either side, itself included.
fn span(start: Bound, end: Bound) -> Span {
    let before = match start {
        Bound::Unbounded => None,
        Bound::Offset(o) => Some((-o).max(0)),
    };
    let after = match end {
        Bound::Unbounded => None,
        Bound::Offset(o) => Some(o.max(0)),
    };
    Span { before, after }
}
