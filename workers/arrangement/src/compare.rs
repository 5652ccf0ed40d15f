//! Comparing rows of two sets of columns.
//!
//! The order is a total one in which equal means identical: ascending, nulls first, floats by
//! `total_cmp`. Consolidation needs no more than that.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, DynComparator, StringArray, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Int32Type};
use arrow::datatypes::{Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType};

enum Pair<'a> {
    I64(&'a [i64], &'a [i64]),
    I32(&'a [i32], &'a [i32]),
    I128(&'a [i128], &'a [i128]),
    Utf8(&'a StringArray, &'a StringArray),
    Dynamic(DynComparator),
}

/// The order of rows, for one pair of column sets of the same types.
pub(crate) struct RowOrder<'a>(Vec<Pair<'a>>);

impl<'a> RowOrder<'a> {
    /// Compares rows of `left` to rows of `right`.
    pub(crate) fn new(left: &'a [ArrayRef], right: &'a [ArrayRef]) -> Self {
        debug_assert_eq!(left.len(), right.len());
        RowOrder(left.iter().zip(right).map(|(l, r)| pair(l, r)).collect())
    }

    /// Row `i` of the left columns against row `j` of the right ones.
    #[inline]
    pub(crate) fn compare(&self, i: usize, j: usize) -> Ordering {
        for pair in &self.0 {
            let order = match pair {
                Pair::I64(l, r) => l[i].cmp(&r[j]),
                Pair::I32(l, r) => l[i].cmp(&r[j]),
                Pair::I128(l, r) => l[i].cmp(&r[j]),
                Pair::Utf8(l, r) => l.value(i).cmp(r.value(j)),
                Pair::Dynamic(compare) => compare(i, j),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    /// Whether the rows are the same.
    #[inline]
    pub(crate) fn equal(&self, i: usize, j: usize) -> bool {
        self.compare(i, j) == Ordering::Equal
    }
}

fn pair<'a>(left: &'a ArrayRef, right: &'a ArrayRef) -> Pair<'a> {
    if left.null_count() == 0 && right.null_count() == 0 && left.data_type() == right.data_type() {
        if let (Some(l), Some(r)) = (longs(left), longs(right)) {
            return Pair::I64(l, r);
        }
        if let (Some(l), Some(r)) = (ints(left), ints(right)) {
            return Pair::I32(l, r);
        }
        let decimals = left.as_primitive_opt::<Decimal128Type>();
        if let (Some(l), Some(r)) = (decimals, right.as_primitive_opt::<Decimal128Type>()) {
            return Pair::I128(l.values(), r.values());
        }
        if let (Some(l), Some(r)) = (left.as_string_opt(), right.as_string_opt()) {
            return Pair::Utf8(l, r);
        }
    }
    let options = SortOptions { descending: false, nulls_first: true };
    Pair::Dynamic(make_comparator(left, right, options).expect("normal types have an order"))
}

/// The 64-bit integers a column is made of, whatever they stand for.
fn longs(column: &ArrayRef) -> Option<&[i64]> {
    use TimeUnit::Microsecond;
    Some(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values(),
        DataType::Timestamp(Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().values()
        }
        DataType::Time64(Microsecond) => column.as_primitive::<Time64MicrosecondType>().values(),
        DataType::Duration(Microsecond) => {
            column.as_primitive::<DurationMicrosecondType>().values()
        }
        _ => return None,
    })
}

fn ints(column: &ArrayRef) -> Option<&[i32]> {
    Some(match column.data_type() {
        DataType::Int32 => column.as_primitive::<Int32Type>().values(),
        DataType::Date32 => column.as_primitive::<Date32Type>().values(),
        _ => return None,
    })
}

/// Per row a number that orders rows as `column` does, except that different values may share
/// one. `None` if the column's type offers none cheaply.
pub(crate) fn prefixes(column: &ArrayRef) -> Option<Vec<u64>> {
    let integer = |v: i64| (v as u64) ^ (1 << 63);
    let mut prefixes: Vec<u64> = if let Some(values) = longs(column) {
        values.iter().map(|v| integer(*v)).collect()
    } else if let Some(values) = ints(column) {
        values.iter().map(|v| integer(i64::from(*v))).collect()
    } else if let Some(strings) = column.as_string_opt::<i32>() {
        (0..strings.len()).map(|i| leading(strings.value(i).as_bytes())).collect()
    } else {
        return None;
    };
    if column.null_count() > 0 {
        for (i, prefix) in prefixes.iter_mut().enumerate() {
            *prefix = if column.is_null(i) { 0 } else { *prefix };
        }
    }
    Some(prefixes)
}

/// The first eight bytes, as a number that orders like them.
fn leading(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let n = bytes.len().min(8);
    word[..n].copy_from_slice(&bytes[..n]);
    u64::from_be_bytes(word)
}

/// First index in `[lo, hi)` for which `holds` is false; it must hold on a prefix. Costs the
/// logarithm of the distance.
#[inline]
pub(crate) fn gallop(lo: usize, hi: usize, holds: impl Fn(usize) -> bool) -> usize {
    if lo >= hi || !holds(lo) {
        return lo;
    }
    let (mut known, mut step) = (lo, 1);
    while known + step < hi && holds(known + step) {
        known += step;
        step <<= 1;
    }
    let (mut a, mut b) = (known + 1, (known + step).min(hi));
    while a < b {
        let middle = (a + b) / 2;
        if holds(middle) { a = middle + 1 } else { b = middle }
    }
    a
}
