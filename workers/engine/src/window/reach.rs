//! Which rows see a change, and which rows a row sees.
//!
//! A frame [a, b] around a row covers a change exactly if the row lies in [change − b, change − a].
//! Frames counted in rows shift when a row comes or goes between the row and its frame's ends, so
//! there a and b are widened to include the row itself.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::Shape;
use super::series::{Change, Edit, Series};
use crate::plan::{Bound, FrameUnits, OrderColumn, WindowFunction, WindowKind};

/// Rows to compute: positions before and after, and which of them came and went.
pub(crate) struct Run {
    pub old: Range<usize>,
    pub new: Range<usize>,
    pub deleted: Vec<usize>,
    pub inserted: Vec<usize>,
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
    order: Vec<OrderColumn>,
    order_keys: Option<RowConverter>,
    order_type: Option<DataType>,
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
        let field = |o: &OrderColumn| {
            let options = SortOptions { descending: o.descending, nulls_first: o.nulls_first };
            SortField::new_with_options(input.field(o.column).data_type().clone(), options)
        };
        let order_keys = match order.is_empty() {
            true => None,
            false => Some(RowConverter::new(order.iter().map(field).collect())?),
        };
        let order_type = match order {
            [one] => Some(input.field(one.column).data_type().clone()),
            _ => None,
        };
        let reach = Reach { rows, range, order: order.to_vec(), order_keys, order_type };
        let far = |s: Span| s.before.is_some_and(|b| b != 0) || s.after.is_some_and(|a| a != 0);
        let counted = reach.order_type.as_ref().is_some_and(|t| whole(t).is_some());
        if reach.range.is_some_and(far) && !counted {
            return Err(ArrowError::NotYetImplemented(
                "RANGE frames with a distance need one order column of an integer, date or \
                 timestamp type"
                    .into(),
            ));
        }
        Ok(reach)
    }

    /// The rows to compute for `changes`, as few runs as they form.
    pub(crate) fn runs(
        &self,
        shape: &Shape,
        before: &Series,
        after: &Series,
        changes: &[Change],
        edit: &Edit,
    ) -> Result<Vec<Run>, ArrowError> {
        let (n_old, n_new) = (before.len(), after.len());
        let whole = vec![(0..n_old, 0..n_new)];
        let parts = if n_old == 0 || n_new == 0 || changes.len() * 8 > n_new {
            whole
        } else {
            let mut parts: Vec<(Range<usize>, Range<usize>)> = vec![];
            for change in changes {
                let old = self.seen_from(shape, before, change, n_old)?;
                let new = self.seen_from(shape, after, change, n_new)?;
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

    /// Positions of `series` from which `change` is seen.
    fn seen_from(
        &self,
        shape: &Shape,
        series: &Series,
        change: &Change,
        n: usize,
    ) -> Result<Range<usize>, ArrowError> {
        let at = series.position(shape, &change.key, false)?;
        let end = series.position(shape, &change.key, true)?;
        let back = |p: usize, by: Option<i64>| by.map_or(0, |b| p.saturating_sub(steps(b)));
        let ahead = |p: usize, by: Option<i64>| by.map_or(n, |a| (p + steps(a)).min(n));
        let mut seen = back(at, self.rows.after)..ahead(end.max(at), self.rows.before);
        if let Some(range) = self.range {
            let ends = self.around(shape, series, &change.key, range.after, range.before, n)?;
            seen.start = seen.start.min(ends.start);
            seen.end = seen.end.max(ends.end);
        }
        Ok(seen)
    }

    /// Positions of `series` that the rows at `seen` see, themselves included.
    pub(crate) fn sight(
        &self,
        shape: &Shape,
        series: &Series,
        types: &[ArrayRef],
        seen: &Range<usize>,
    ) -> Result<Range<usize>, ArrowError> {
        let n = series.len();
        let back = self.rows.before.map_or(0, |b| seen.start.saturating_sub(steps(b)));
        let ahead = self.rows.after.map_or(n, |a| (seen.end + steps(a)).min(n));
        let mut sight = back.min(seen.start)..ahead.max(seen.end);
        if let (Some(range), false) = (self.range, seen.is_empty()) {
            let key = |at: usize| -> Result<Box<[u8]>, ArrowError> {
                let row = series.flat(shape, types, at..at + 1)?;
                let row: Vec<ArrayRef> = shape.key.iter().map(|c| row[*c].clone()).collect();
                Ok(shape.keys.convert_columns(&row)?.row(0).data().into())
            };
            let first = key(seen.start)?;
            let low = self.around(shape, series, &first, range.before, Some(0), n)?;
            let last = key(seen.end - 1)?;
            let high = self.around(shape, series, &last, Some(0), range.after, n)?;
            sight.start = sight.start.min(low.start);
            sight.end = sight.end.max(high.end);
        }
        Ok(sight)
    }

    /// Positions whose order value is at most `before` below and `after` above that of `key`.
    fn around(
        &self,
        shape: &Shape,
        series: &Series,
        key: &[u8],
        before: Option<i64>,
        after: Option<i64>,
        n: usize,
    ) -> Result<Range<usize>, ArrowError> {
        let Some(converter) = &self.order_keys else { return Ok(0..n) };
        let start = match before {
            None => 0,
            Some(b) => match self.moved(converter, shape, key, -b)? {
                Some(bound) => series.position(shape, &bound, false)?,
                None => 0,
            },
        };
        let end = match after {
            None => n,
            Some(a) => match self.moved(converter, shape, key, a)? {
                Some(bound) => series.position(shape, &bound, true)?,
                None => n,
            },
        };
        Ok(start..end)
    }

    /// The order part of `key`, its value moved by `by` in window order; `None` if there is no
    /// such value. A null moves nowhere.
    fn moved(
        &self,
        converter: &RowConverter,
        shape: &Shape,
        key: &[u8],
        by: i64,
    ) -> Result<Option<Box<[u8]>>, ArrowError> {
        let parser = shape.keys.parser();
        let columns = shape.keys.convert_rows([parser.parse(key)])?;
        let mut order: Vec<ArrayRef> = columns[..self.order.len()].to_vec();
        if let (Some(t), true, true) = (&self.order_type, by != 0, order[0].is_valid(0)) {
            let Some(value) = whole_values(&order[0])?.first().copied() else { return Ok(None) };
            let by = if self.order[0].descending { -by } else { by };
            let Some(moved) = value.checked_add(by) else { return Ok(None) };
            match from_whole(moved, t)? {
                Some(array) => order[0] = array,
                None => return Ok(None),
            }
        }
        Ok(Some(converter.convert_columns(&order)?.row(0).data().into()))
    }
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

/// The integer type that a column of type `t` is a sequence of.
fn whole(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Timestamp(_, _) => Some(DataType::Int64),
        DataType::Date32 => Some(DataType::Int32),
        t if t.is_integer() && *t != DataType::UInt64 => Some(t.clone()),
        _ => None,
    }
}

/// A column's values as integers; nulls are 0.
pub(crate) fn whole_values(array: &ArrayRef) -> Result<Vec<i64>, ArrowError> {
    let array = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(array.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default).collect())
}

fn from_whole(value: i64, t: &DataType) -> Result<Option<ArrayRef>, ArrowError> {
    let array: ArrayRef = match whole(t) {
        Some(DataType::Int32) => match i32::try_from(value) {
            Ok(v) => Arc::new(Int32Array::from(vec![v])),
            Err(_) => return Ok(None),
        },
        _ => Arc::new(Int64Array::from(vec![value])),
    };
    let array = cast(&array, t)?;
    Ok(array.is_valid(0).then_some(array))
}
