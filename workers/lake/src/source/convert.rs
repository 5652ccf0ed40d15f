//! From what a file says to what is declared, value by value: nothing is rounded, truncated or
//! wrapped on the way.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use engine::ports::{Fault, FileBatch};
use schemas::normal::normalize;

use super::reader::Reading;

/// `array` as `wanted`, and the rows whose value has no such form.
///
/// # Errors
/// Types that have nothing to do with each other.
pub(crate) fn strict_cast(
    array: &ArrayRef,
    wanted: &DataType,
) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
    let array = normalize(array)?;
    if array.data_type() == wanted {
        return Ok((array, vec![]));
    }
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    let cast = cast_with_options(&array, wanted, &safe)?;
    let mut bad: Vec<usize> =
        (0..array.len()).filter(|i| array.is_valid(*i) && cast.is_null(*i)).collect();
    let compared = match (array.data_type(), wanted) {
        // Text is compared in a type that holds more of it than any decimal that is declared.
        (DataType::Utf8, DataType::Decimal128(_, _)) => Some(DataType::Decimal256(76, 38)),
        (is, wanted) => may_round(is, wanted).then(|| is.clone()),
    };
    if let Some(exact) = compared {
        let back = cast_with_options(&cast, &exact, &safe)?;
        let same = not_distinct(&back, &cast_with_options(&array, &exact, &safe)?)?;
        bad.extend((0..array.len()).filter(|i| cast.is_valid(*i) && !same.value(*i)));
        bad.sort_unstable();
    }
    Ok((normalize(&cast)?, bad))
}

/// Casts that keep a value's neighbour instead of refusing.
fn may_round(from: &DataType, to: &DataType) -> bool {
    let decimal =
        |t: &DataType| matches!(t, DataType::Decimal128(_, _) | DataType::Decimal256(_, _));
    let coarse = |t: &DataType| t.is_integer() || decimal(t) || matches!(t, DataType::Date32);
    let fine =
        |t: &DataType| t.is_floating() || decimal(t) || matches!(t, DataType::Timestamp(_, _));
    fine(from) && coarse(to) || from.is_integer() && to.is_floating()
}

/// Assemble the declared columns of a batch whose file columns are `columns` by name.
/// `first_row` is the number of its first row; rows in `broken` are already faulted.
pub(crate) fn declared(
    reading: &Reading,
    columns: &HashMap<String, ArrayRef>,
    partition: &HashMap<String, ArrayRef>,
    rows: usize,
    first_row: u64,
    broken: &[usize],
) -> FileBatch {
    let mut keep = vec![true; rows];
    broken.iter().for_each(|i| keep[*i] = false);
    let mut faults = vec![];
    let mut made: Vec<ArrayRef> = vec![];
    for field in reading.declared.fields() {
        let name = field.name();
        let column = match (columns.get(name), partition.get(name)) {
            (Some(column), _) => convert(reading, name, column, field.data_type(), first_row),
            (None, Some(value)) => (repeat(value, rows), vec![]),
            (None, None) => (new_null_array(field.data_type(), rows), vec![]),
        };
        let (column, bad) = column;
        for (row, fault) in bad {
            if keep[row] {
                faults.push(fault);
            }
            keep[row] = false;
        }
        if !field.is_nullable() {
            for row in (0..rows).filter(|i| column.is_null(*i)) {
                if std::mem::replace(&mut keep[row], false) {
                    let reason = "is null, but declared NOT NULL".to_string();
                    faults.push(reading.fault(Some(first_row + row as u64), name, reason));
                }
            }
        }
        made.push(column);
    }
    let row_numbers: Vec<u64> =
        (0..rows).filter(|i| keep[*i]).map(|i| first_row + i as u64).collect();
    let all = RecordBatch::try_new(reading.schema.clone(), made)
        .expect("columns were cast to the declared types");
    let rows = match row_numbers.len() == keep.len() {
        true => all,
        false => filter_record_batch(&all, &BooleanArray::from(keep)).expect("same length"),
    };
    FileBatch { rows, row_numbers, faults }
}

fn repeat(value: &ArrayRef, rows: usize) -> ArrayRef {
    take(value, &UInt32Array::from(vec![0; rows]), None).expect("the value is there")
}

type Faults = Vec<(usize, Fault)>;

fn convert(
    reading: &Reading,
    name: &str,
    column: &ArrayRef,
    wanted: &DataType,
    first_row: u64,
) -> (ArrayRef, Faults) {
    let fault = |row: usize, reason: String| {
        (row, reading.fault(Some(first_row + row as u64), name, reason))
    };
    match strict_cast(column, wanted) {
        Ok((cast, bad)) => {
            let options = FormatOptions::default();
            let shown = |row: usize| {
                let value = ArrayFormatter::try_new(column.as_ref(), &options);
                let value = value.map(|f| f.value(row).to_string()).unwrap_or_default();
                quoted(&value)
            };
            let one = |row: usize| fault(row, format!("{} is no {wanted}", shown(row)));
            (cast, bad.into_iter().map(one).collect())
        }
        Err(error) => {
            let valid = (0..column.len()).filter(|i| column.is_valid(*i));
            let faults = valid.map(|row| fault(row, error.to_string())).collect();
            (Arc::new(new_null_array(wanted, column.len())) as ArrayRef, faults)
        }
    }
}

/// `'text'`, cut to a readable length.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let cut: String = text.chars().take(CHARS_MAX).collect();
    if cut.len() < text.len() { format!("'{cut}…'") } else { format!("'{cut}'") }
}
