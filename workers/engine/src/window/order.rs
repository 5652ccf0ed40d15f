//! The order of a window's rows: partition, then the window's order, then all other columns.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, DynComparator, make_comparator};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit};
use arrow::datatypes::{TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;

use crate::plan::OrderColumn;

/// Rank of a null that comes before all values, or (negated) after them. Values are 64-bit.
const NULL_RANK: i128 = i128::MIN + 1;

/// One column of two row sets.
enum Pair<'a> {
    Longs { left: &'a [i64], right: &'a [i64], descending: bool },
    Any(DynComparator),
}

impl Pair<'_> {
    #[inline]
    fn compare(&self, i: usize, j: usize) -> Ordering {
        match self {
            Pair::Longs { left, right, descending: false } => left[i].cmp(&right[j]),
            Pair::Longs { left, right, descending: true } => right[j].cmp(&left[i]),
            Pair::Any(compare) => compare(i, j),
        }
    }
}

/// Compares rows of one set of columns with rows of another.
pub(crate) struct RowCompare<'a>(Vec<Pair<'a>>);

/// A column to compare by, and how.
pub(crate) type By = (usize, SortOptions);

impl<'a> RowCompare<'a> {
    /// Compares rows of `left` with rows of `right` by the columns `by`.
    pub(crate) fn new(
        left: &'a [ArrayRef],
        right: &'a [ArrayRef],
        by: &[By],
    ) -> Result<RowCompare<'a>, ArrowError> {
        let pair = |(column, options): &By| pair(&left[*column], &right[*column], *options);
        Ok(RowCompare(by.iter().map(pair).collect::<Result<_, _>>()?))
    }

    /// Row `i` of the left against row `j` of the right.
    #[inline]
    pub(crate) fn compare(&self, i: usize, j: usize) -> Ordering {
        for pair in &self.0 {
            let order = pair.compare(i, j);
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// Row `i` of `left` against row `j` of `right`, once: columns behind the first that differs are
/// not looked at.
pub(crate) fn compare_once(
    (left, i): (&[ArrayRef], usize),
    (right, j): (&[ArrayRef], usize),
    by: &[By],
) -> Result<Ordering, ArrowError> {
    for (column, options) in by {
        let order = pair(&left[*column], &right[*column], *options)?.compare(i, j);
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

fn pair<'a>(
    left: &'a ArrayRef,
    right: &'a ArrayRef,
    options: SortOptions,
) -> Result<Pair<'a>, ArrowError> {
    if let (Some(l), Some(r)) = (longs(left), longs(right))
        && left.null_count() == 0
        && right.null_count() == 0
    {
        return Ok(Pair::Longs { left: l, right: r, descending: options.descending });
    }
    Ok(Pair::Any(make_comparator(left, right, options)?))
}

/// The 64-bit integers a column is made of.
pub(crate) fn longs(column: &ArrayRef) -> Option<&ScalarBuffer<i64>> {
    match column.data_type() {
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(column.as_primitive::<TimestampMicrosecondType>().values())
        }
        _ => None,
    }
}

/// Whether values of type `t` are whole numbers, so that a distance between two makes sense.
pub(crate) fn is_whole(t: &DataType) -> bool {
    match t {
        DataType::Timestamp(_, _) | DataType::Date32 => true,
        t => t.is_integer() && *t != DataType::UInt64,
    }
}

enum Numbers<'a> {
    Longs(&'a [i64]),
    Ints(&'a [i32]),
    Cast(Vec<i64>),
}

/// Where the rows of a whole-number column stand on a line that runs in window order: distances
/// between ranks are the distances of `RANGE` frames. Nulls stand at one end and are their only
/// peers.
pub(crate) struct Ranks<'a> {
    numbers: Numbers<'a>,
    nulls: Option<&'a NullBuffer>,
    order: OrderColumn,
}

impl<'a> Ranks<'a> {
    /// Ranks of the rows of `column`.
    pub(crate) fn new(column: &'a ArrayRef, order: OrderColumn) -> Result<Ranks<'a>, ArrowError> {
        let numbers = match (longs(column), column.data_type()) {
            (Some(longs), _) => Numbers::Longs(longs),
            (None, DataType::Int32) => Numbers::Ints(column.as_primitive::<Int32Type>().values()),
            (None, DataType::Date32) => Numbers::Ints(column.as_primitive::<Date32Type>().values()),
            _ => {
                let whole = cast(column, &DataType::Int64)?;
                Numbers::Cast(whole.as_primitive::<Int64Type>().values().to_vec())
            }
        };
        Ok(Ranks { numbers, nulls: column.nulls(), order })
    }

    /// The ranks of all rows, if they are the column's values.
    pub(crate) fn short(&self) -> Option<&[i64]> {
        match &self.numbers {
            Numbers::Longs(v) if self.nulls.is_none() && !self.order.descending => Some(v),
            _ => None,
        }
    }

    /// The rank of row `i`.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> i128 {
        if self.nulls.is_some_and(|n| n.is_null(i)) {
            return if self.order.nulls_first { NULL_RANK } else { -NULL_RANK };
        }
        let value = match &self.numbers {
            Numbers::Longs(v) => i128::from(v[i]),
            Numbers::Ints(v) => i128::from(v[i]),
            Numbers::Cast(v) => i128::from(v[i]),
        };
        if self.order.descending { -value } else { value }
    }
}

/// `rank` moved by `distance`. A null moves nowhere.
pub(crate) fn moved(rank: i128, distance: i64) -> i128 {
    if rank.abs() == -NULL_RANK { rank } else { rank + i128::from(distance) }
}

/// Ranks of this size and below stay apart from the ends of 64 bits.
const SHORT_RANK: i64 = 1 << 61;

/// Ranks of neighbours, ascending.
pub(crate) enum Line {
    /// None is a null's, and all are far from the ends of 64 bits.
    Short(Vec<i64>),
    Long(Vec<i128>),
}

impl Line {
    /// Ranks in whichever of the two they are; the other is empty.
    pub(crate) fn new(short: Vec<i64>, long: Vec<i128>) -> Line {
        let inside = |r: Option<&i64>| r.is_none_or(|r| (-SHORT_RANK..SHORT_RANK).contains(r));
        if !long.is_empty() {
            Line::Long(long)
        } else if inside(short.first()) && inside(short.last()) {
            Line::Short(short)
        } else {
            Line::Long(short.into_iter().map(i128::from).collect())
        }
    }
}

/// A place on the line.
pub(crate) trait Rank: Copy + Ord {
    /// So much further on.
    fn moved(self, distance: i64) -> Self;
}

impl Rank for i64 {
    #[inline]
    fn moved(self, distance: i64) -> i64 {
        self.saturating_add(distance)
    }
}

impl Rank for i128 {
    #[inline]
    fn moved(self, distance: i64) -> i128 {
        moved(self, distance)
    }
}

/// Numbers of sub-partitions, as a column.
pub(crate) fn subs(column: &ArrayRef) -> &ScalarBuffer<u32> {
    column.as_primitive::<UInt32Type>().values()
}
