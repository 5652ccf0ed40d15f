//! Copying rows of columns: by index, and by runs of neighbours.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, ArrowPrimitiveType, AsArray, MutableArrayData};
use arrow::array::{PrimitiveArray, UInt32Array, downcast_primitive, make_array};
use arrow::compute::{concat, interleave, take};

/// Rows `[start, end)` of source `source`.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) source: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// All rows of column sets (at least one) that share their types, one after the other.
pub(crate) fn concat_rows(sets: &[&[ArrayRef]]) -> Vec<ArrayRef> {
    let column = |c: usize| {
        let pieces: Vec<&dyn Array> = sets.iter().map(|set| set[c].as_ref()).collect();
        concat(&pieces).expect("sets share their column types")
    };
    (0..sets[0].len()).map(column).collect()
}

/// The rows at `indices` of each column.
pub(crate) fn take_rows(columns: &[ArrayRef], indices: Vec<u32>) -> Vec<ArrayRef> {
    let indices = UInt32Array::from(indices);
    let rows = |c: &ArrayRef| take(c, &indices, None).expect("indices are rows of the column");
    columns.iter().map(rows).collect()
}

/// The rows at `indices` = (source, row), of column sets that share their types. Sources to which
/// no index points may lack columns.
pub(crate) fn pick_rows(sources: &[&[ArrayRef]], indices: &[(usize, usize)]) -> Vec<ArrayRef> {
    let Some((first, _)) = indices.first() else {
        return vec![];
    };
    if indices.iter().all(|(source, _)| source == first) {
        return take_rows(sources[*first], indices.iter().map(|i| i.1 as u32).collect());
    }
    let mut used = vec![false; sources.len()];
    indices.iter().for_each(|(source, _)| used[*source] = true);
    let column = |c: usize| {
        // A source without rows of its own stands in with the first one's column, unread.
        let column_of = |s: usize| {
            if used[s] { &sources[s][c] } else { &sources[*first][c] }
        };
        let arrays: Vec<&dyn Array> = (0..sources.len()).map(|s| column_of(s).as_ref()).collect();
        interleave(&arrays, indices).expect("sources share their column types")
    };
    (0..sources[*first].len()).map(column).collect()
}

macro_rules! copy_primitive_of {
    ($t:ty, $sources:expr, $stretches:expr, $rows:expr) => {
        copy_primitive::<$t>($sources, $stretches, $rows)
    };
}

/// The rows of `stretches`, `rows` in all, one after the other. `sources` share their type.
pub(crate) fn copy_stretches(
    sources: &[&ArrayRef],
    stretches: &[Stretch],
    rows: usize,
) -> ArrayRef {
    if let [only] = stretches {
        let length = (only.end - only.start) as usize;
        return sources[only.source as usize].slice(only.start as usize, length);
    }
    if sources.iter().all(|a| a.null_count() == 0) {
        return downcast_primitive! {
            sources[0].data_type() => (copy_primitive_of, sources, stretches, rows),
            _ => copy_any(sources, stretches, rows),
        };
    }
    copy_any(sources, stretches, rows)
}

fn copy_primitive<T: ArrowPrimitiveType>(
    sources: &[&ArrayRef],
    stretches: &[Stretch],
    rows: usize,
) -> ArrayRef {
    let values: Vec<&[T::Native]> =
        sources.iter().map(|a| &a.as_primitive::<T>().values()[..]).collect();
    let mut out: Vec<T::Native> = Vec::with_capacity(rows);
    for s in stretches {
        out.extend_from_slice(&values[s.source as usize][s.start as usize..s.end as usize]);
    }
    let array = PrimitiveArray::<T>::new(out.into(), None);
    // Precision, scale and time zone are in the type, not in the values.
    Arc::new(array.with_data_type(sources[0].data_type().clone()))
}

fn copy_any(sources: &[&ArrayRef], stretches: &[Stretch], rows: usize) -> ArrayRef {
    if stretches.len() * 8 < rows {
        let data: Vec<ArrayData> = sources.iter().map(|a| a.to_data()).collect();
        let mut out = MutableArrayData::new(data.iter().collect(), false, rows);
        for s in stretches {
            let (start, end) = (s.start as usize, s.end as usize);
            out.try_extend(s.source as usize, start, end).expect("a chunk fits 32-bit offsets");
        }
        return make_array(out.freeze());
    }
    let each = |s: &Stretch| {
        let source = s.source as usize;
        (s.start..s.end).map(move |row| (source, row as usize))
    };
    let indices: Vec<(usize, usize)> = stretches.iter().flat_map(each).collect();
    let arrays: Vec<&dyn Array> = sources.iter().map(|a| a.as_ref()).collect();
    interleave(&arrays, &indices).expect("sources share their type")
}
