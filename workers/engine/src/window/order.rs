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
enum Pair {
    Longs { left: ScalarBuffer<i64>, right: ScalarBuffer<i64>, descending: bool },
    Any(DynComparator),
}

/// Compares rows of one set of columns with rows of another.
pub(crate) struct RowCompare(Vec<Pair>);

/// A column to compare by, and how.
pub(crate) type By = (usize, SortOptions);

impl RowCompare {
    /// Compares rows of `left` with rows of `right` by the columns `by`.
    pub(crate) fn new(
        left: &[ArrayRef],
        right: &[ArrayRef],
        by: &[By],
    ) -> Result<RowCompare, ArrowError> {
        let pair = |(column, options): &By| pair(&left[*column], &right[*column], *options);
        Ok(RowCompare(by.iter().map(pair).collect::<Result<_, _>>()?))
    }

    /// Row `i` of the left against row `j` of the right.
    #[inline]
    pub(crate) fn compare(&self, i: usize, j: usize) -> Ordering {
        for pair in &self.0 {
            let order = match pair {
                Pair::Longs { left, right, descending: false } => left[i].cmp(&right[j]),
                Pair::Longs { left, right, descending: true } => right[j].cmp(&left[i]),
                Pair::Any(compare) => compare(i, j),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

fn pair(left: &ArrayRef, right: &ArrayRef, options: SortOptions) -> Result<Pair, ArrowError> {
    if left.null_count() == 0
        && right.null_count() == 0
        && let (Some(l), Some(r)) = (longs(left), longs(right))
    {
        return Ok(Pair::Longs {
            left: l.clone(),
            right: r.clone(),
            descending: options.descending,
        });
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

/// Numbers of sub-partitions, as a column.
pub(crate) fn subs(column: &ArrayRef) -> &ScalarBuffer<u32> {
    column.as_primitive::<UInt32Type>().values()
}
