//! The hash of a row's key columns: what routes it between workers and orders it in chunks.
//!
//! Equal values hash alike in every batch, whatever their neighbours: a column with nulls and one
//! without take different loops to the same result. Columns are in normal form
//! (`schemas::normal`), so equal values have equal bits.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, downcast_primitive};
use arrow::datatypes::{DataType, ToByteSlice};
use arrow::row::{RowConverter, SortField};

const SEED: u64 = 0x243F_6A88_85A3_08D3;
const FINISH: u64 = 0x1319_8A2E_0370_7344;
const NULL: u64 = 0xA409_3822_299F_31D0;
const MULTIPLIER: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// Absorb `value` into `hash`: a folded 128-bit product, so that high and low bits both depend on
/// every input bit.
#[inline]
fn mix(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value).wrapping_mul(MULTIPLIER);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn mix_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        hash = mix(hash, u64::from_le_bytes(padded));
    }
    hash
}

/// One hash per row. All columns have the same length; without columns there are no rows to hash
/// (see `hash_rows`).
pub fn hash_columns(columns: &[ArrayRef]) -> Vec<u64> {
    hash_rows(columns, columns.first().map_or(0, |c| c.len()))
}

/// One hash for each of `rows` rows; all the same if there are no columns.
pub fn hash_rows(columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    hash_seeded(columns, rows, SEED)
}

/// Like `hash_rows`. Hashes of different seeds are independent: rows that collide in one do not in
/// the other, beyond chance.
pub fn hash_seeded(columns: &[ArrayRef], rows: usize, seed: u64) -> Vec<u64> {
    let mut hashes = vec![seed; rows];
    for column in columns {
        absorb(column, &mut hashes);
    }
    for hash in &mut hashes {
        *hash = mix(*hash, FINISH);
    }
    hashes
}

macro_rules! absorb_primitive_of {
    ($t:ty, $column:expr, $hashes:expr) => {
        absorb_primitive::<$t>($column, $hashes)
    };
}

fn absorb(column: &ArrayRef, hashes: &mut [u64]) {
    downcast_primitive! {
        column.data_type() => (absorb_primitive_of, column, hashes),
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            absorb_with(column, hashes, |h, i| absorb_bytes(h, strings.value(i).as_bytes()))
        }
        DataType::Binary => {
            let binary = column.as_binary::<i32>();
            absorb_with(column, hashes, |h, i| absorb_bytes(h, binary.value(i)))
        }
        DataType::Boolean => {
            let booleans = column.as_boolean();
            absorb_with(column, hashes, |h, i| mix(h, u64::from(booleans.value(i))))
        }
        _ => absorb_encoded(column, hashes),
    }
}

/// The length is absorbed too: else `"a"` and `"a\0"` would collide, always.
fn absorb_bytes(hash: u64, bytes: &[u8]) -> u64 {
    mix_bytes(mix(hash, bytes.len() as u64), bytes)
}

fn absorb_primitive<T: ArrowPrimitiveType>(column: &ArrayRef, hashes: &mut [u64]) {
    let column = column.as_primitive::<T>();
    if column.null_count() == 0 {
        for (hash, value) in hashes.iter_mut().zip(column.values().iter()) {
            *hash = mix_bytes(*hash, value.to_byte_slice());
        }
    } else {
        let value = |h: u64, i: usize| mix_bytes(h, column.value(i).to_byte_slice());
        absorb_with(column, hashes, value);
    }
}

fn absorb_with(column: &dyn Array, hashes: &mut [u64], value: impl Fn(u64, usize) -> u64) {
    for (i, hash) in hashes.iter_mut().enumerate() {
        *hash = if column.is_null(i) { mix(*hash, NULL) } else { value(*hash, i) };
    }
}

/// Nested values, by their Arrow row encoding, which is the same for equal values.
fn absorb_encoded(column: &ArrayRef, hashes: &mut [u64]) {
    let field = SortField::new(column.data_type().clone());
    let converter = RowConverter::new(vec![field]).expect("normal types have a row encoding");
    let rows = converter
        .convert_columns(std::slice::from_ref(column))
        .expect("the column has the type of its converter");
    for (hash, row) in hashes.iter_mut().zip(rows.iter()) {
        *hash = absorb_bytes(*hash, row.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn a_null_elsewhere_in_the_batch_changes_no_hash() {
        let plain: ArrayRef = Arc::new(Int64Array::from(vec![7, 0]));
        let holed: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(0), None]));
        let (a, b) = (hash_columns(&[plain]), hash_columns(&[holed]));
        assert_eq!(a, b[..2]);
        assert_ne!(b[1], b[2]);
    }

    #[test]
    fn the_border_between_columns_counts() {
        let column = |s: &str| Arc::new(StringArray::from(vec![s])) as ArrayRef;
        let a = hash_columns(&[column("ab"), column("c")]);
        let b = hash_columns(&[column("a"), column("bc")]);
        assert_ne!(a, b);
    }

    #[test]
    fn high_bits_spread_consecutive_integers() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4096));
        let mut buckets = [0u32; 16];
        for hash in hash_columns(&[column]) {
            buckets[(hash >> 60) as usize] += 1;
        }
        assert!(buckets.iter().all(|n| (128..512).contains(n)), "{buckets:?}");
    }

    #[test]
    fn without_columns_all_rows_share_a_hash() {
        assert_eq!(hash_rows(&[], 3), vec![hash_rows(&[], 1)[0]; 3]);
    }
}
