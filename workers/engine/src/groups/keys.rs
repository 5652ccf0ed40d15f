//! Keys of groups: a few words of 64 bits where their types allow it, else encoded rows.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type};
use arrow::datatypes::{TimeUnit, TimestampMicrosecondType, UInt64Type};
use arrow::error::ArrowError;

/// Columns of a key of words. One more word has a bit for each that is null.
pub(crate) const WORDS_MAX: usize = 7;

/// A key: its words, 0 for what is null; the rest is 0.
pub(crate) type Key = [i64; WORDS_MAX];

/// Whether keys of these types are words.
pub(crate) fn are_words(types: &[DataType]) -> bool {
    use DataType::{Date32, Float64, Int32, Int64, Timestamp, UInt64};
    let word = |t: &DataType| {
        matches!(t, Int64 | UInt64 | Int32 | Float64 | Date32 | Timestamp(TimeUnit::Microsecond, _))
    };
    !types.is_empty() && types.len() <= WORDS_MAX && types.iter().all(word)
}

/// A key column's words.
pub(crate) struct Words<'a> {
    values: Cow<'a, [i64]>,
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Words<'a> {
    pub(crate) fn of(column: &'a ArrayRef) -> Words<'a> {
        let each = |v: &[i32]| Cow::Owned(v.iter().map(|v| i64::from(*v)).collect());
        let values = match column.data_type() {
            DataType::Int64 => Cow::Borrowed(column.as_primitive::<Int64Type>().values().as_ref()),
            DataType::Timestamp(_, _) => {
                Cow::Borrowed(column.as_primitive::<TimestampMicrosecondType>().values().as_ref())
            }
            DataType::Int32 => each(column.as_primitive::<Int32Type>().values()),
            DataType::Date32 => each(column.as_primitive::<Date32Type>().values()),
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values();
                Cow::Owned(values.iter().map(|v| v.to_bits() as i64).collect())
            }
            _ => {
                let values = column.as_primitive::<UInt64Type>().values();
                Cow::Owned(values.iter().map(|v| *v as i64).collect())
            }
        };
        Words { values, nulls: column.nulls().filter(|n| n.null_count() > 0) }
    }

    /// The word of a row; `None` is null.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        match self.nulls.is_some_and(|n| n.is_null(row)) {
            true => None,
            false => Some(self.values[row]),
        }
    }
}

/// A column of type `t` from words, and which of them are null.
pub(crate) fn column(t: &DataType, words: &[i64], null: &[bool]) -> Result<ArrayRef, ArrowError> {
    fn of<T: ArrowPrimitiveType>(
        words: &[i64],
        nulls: Option<NullBuffer>,
        value: impl Fn(i64) -> T::Native,
        t: &DataType,
    ) -> ArrayRef {
        let values = words.iter().map(|w| value(*w)).collect::<Vec<_>>();
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(t.clone()))
    }
    let nulls = null.iter().any(|n| *n).then(|| {
        let valid: BooleanBuffer = null.iter().map(|n| !n).collect();
        NullBuffer::new(valid)
    });
    Ok(match t {
        DataType::Int64 => of::<Int64Type>(words, nulls, |w| w, t),
        DataType::Timestamp(_, _) => of::<TimestampMicrosecondType>(words, nulls, |w| w, t),
        DataType::Int32 => of::<Int32Type>(words, nulls, |w| w as i32, t),
        DataType::Date32 => of::<Date32Type>(words, nulls, |w| w as i32, t),
        DataType::Float64 => of::<Float64Type>(words, nulls, |w| f64::from_bits(w as u64), t),
        DataType::UInt64 => of::<UInt64Type>(words, nulls, |w| w as u64, t),
        other => {
            return Err(ArrowError::InvalidArgumentError(format!("{other} is no key of words")));
        }
    })
}

/// A folded product over words.
#[inline]
pub(crate) fn hash_words(nulls: i64, words: &[i64]) -> u64 {
    let mut hash = 0x243F_6A88_85A3_08D3u64 ^ nulls as u64;
    for word in words {
        hash = folded(hash ^ *word as u64);
    }
    hash
}

/// A folded product over 8-byte pieces.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0x243F_6A88_85A3_08D3u64 ^ bytes.len() as u64;
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        hash = folded(hash ^ u64::from_le_bytes(padded));
    }
    hash
}

#[inline]
fn folded(word: u64) -> u64 {
    let product = u128::from(word).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (product as u64) ^ ((product >> 64) as u64)
}
