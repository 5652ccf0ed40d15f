//! Which file a row belongs to.

use std::collections::BTreeMap;

use arrangement::hash_seeded;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};

use crate::delta::Add;
use crate::error::{LakeError, Result};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Rows without a time, and all rows of views without a time column.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// The time bucket of each row.
pub(crate) fn buckets(column: Option<&ArrayRef>, rows: usize, days: u32) -> Vec<i64> {
    let Some(column) = column else { return vec![NO_TIME; rows] };
    let days = i64::from(days.max(1));
    let value = |i: usize| match column.data_type() {
        DataType::Date32 => {
            i64::from(column.as_primitive::<Date32Type>().value(i)).div_euclid(days)
        }
        _ => column
            .as_primitive::<TimestampMicrosecondType>()
            .value(i)
            .div_euclid(days * MICROS_PER_DAY),
    };
    (0..rows).map(|i| if column.is_valid(i) { value(i) } else { NO_TIME }).collect()
}

/// A number that spreads buckets over workers.
pub(crate) fn spread(bucket: i64) -> u64 {
    let mixed = u128::from(0x9E37_79B9_7F4A_7C15 ^ bucket as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (mixed as u64) ^ ((mixed >> 64) as u64)
}

/// A hash for each row: the high half names its place in a bucket, the whole goes into digests.
/// Equal rows have equal hashes in every batch, process and incarnation of one binary.
pub(crate) fn row_hashes(columns: &[ArrayRef], rows: usize) -> Vec<u128> {
    let high = hash_seeded(columns, rows, 0x452_1E63_8D01_377D);
    let low = hash_seeded(columns, rows, 0xBE54_66CF_34E9_0C6C);
    high.into_iter().zip(low).map(|(h, l)| u128::from(h) << 64 | u128::from(l)).collect()
}

/// What a file owns and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub path: String,
    pub bucket: i64,
    /// Hashes of its rows lie in `lo..=hi`.
    pub lo: u64,
    pub hi: u64,
    pub rows: u64,
    /// Sum of the hashes of its rows.
    pub digest: u128,
}

impl Owned {
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        [
            ("bucket", self.bucket.to_string()),
            ("lo", self.lo.to_string()),
            ("hi", self.hi.to_string()),
            ("rows", self.rows.to_string()),
            ("digest", self.digest.to_string()),
        ]
        .map(|(k, v)| (format!("tidewatch.{k}"), v))
        .into()
    }

    pub(crate) fn of(add: &Add) -> Result<Owned> {
        fn tag<T: std::str::FromStr>(add: &Add, name: &str) -> Result<T> {
            let value = add.tags.get(&format!("tidewatch.{name}")).and_then(|v| v.parse().ok());
            value.ok_or_else(|| {
                LakeError::corrupt(&add.path, format!("it has no tag 'tidewatch.{name}'"))
            })
        }
        Ok(Owned {
            path: add.path.clone(),
            bucket: tag(add, "bucket")?,
            lo: tag(add, "lo")?,
            hi: tag(add, "hi")?,
            rows: tag(add, "rows")?,
            digest: tag(add, "digest")?,
        })
    }
}
