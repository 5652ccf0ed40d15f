//! Exact numbers: integers and decimals of any width in and out of `i128`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::array::{PrimitiveArray, UInt64Array};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Int8Type, Int16Type};
use arrow::datatypes::{Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};

/// The values of an integer or decimal column (decimals unscaled); nulls become 0. `None` for
/// any other type.
pub fn widen(array: &ArrayRef) -> Option<Vec<i128>> {
    fn values<T: ArrowPrimitiveType>(array: &ArrayRef) -> Vec<i128>
    where
        T::Native: Into<i128>,
    {
        let a: &PrimitiveArray<T> = array.as_primitive::<T>();
        match a.null_count() {
            0 => a.values().iter().map(|v| (*v).into()).collect(),
            _ => a.iter().map(|v| v.map_or(0, Into::into)).collect(),
        }
    }
    Some(match array.data_type() {
        DataType::Int8 => values::<Int8Type>(array),
        DataType::Int16 => values::<Int16Type>(array),
        DataType::Int32 => values::<Int32Type>(array),
        DataType::Int64 => values::<Int64Type>(array),
        DataType::UInt8 => values::<UInt8Type>(array),
        DataType::UInt16 => values::<UInt16Type>(array),
        DataType::UInt32 => values::<UInt32Type>(array),
        DataType::UInt64 => values::<UInt64Type>(array),
        DataType::Decimal128(_, _) => values::<Decimal128Type>(array),
        _ => return None,
    })
}

/// A column of `output` type (Int64, UInt64 or Decimal128) from exact values, and the positions
/// of values that do not fit it (null in the column).
pub fn narrow(values: &[Option<i128>], output: &DataType) -> (ArrayRef, Vec<usize>) {
    let fits = |v: i128| match output {
        DataType::Int64 => i64::try_from(v).is_ok(),
        DataType::UInt64 => u64::try_from(v).is_ok(),
        DataType::Decimal128(p, _) => v.unsigned_abs() < 10u128.pow(u32::from(*p)),
        _ => false,
    };
    let outside = |(i, v): (usize, &Option<i128>)| v.is_some_and(|v| !fits(v)).then_some(i);
    let bad: Vec<usize> = values.iter().enumerate().filter_map(outside).collect();
    let kept = values.iter().map(|v| v.filter(|v| fits(*v)));
    let array: ArrayRef = match output {
        DataType::UInt64 => {
            Arc::new(UInt64Array::from_iter(kept.map(|v| v.and_then(|v| u64::try_from(v).ok()))))
        }
        DataType::Decimal128(p, s) => {
            let a = Decimal128Array::from_iter(kept);
            Arc::new(a.with_precision_and_scale(*p, *s).expect("a declared decimal type is valid"))
        }
        _ => Arc::new(Int64Array::from_iter(kept.map(|v| v.and_then(|v| i64::try_from(v).ok())))),
    };
    (array, bad)
}

/// Means from exact sums: Float64, or a decimal of `output` type truncated toward zero, for sums
/// whose unit is 10^-`scale`.
pub fn mean(sums: &[(i128, i128)], scale: i8, output: &DataType) -> (ArrayRef, Vec<usize>) {
    match output {
        DataType::Decimal128(_, wider) => {
            let values: Vec<Option<i128>> =
                sums.iter().map(|p| divided(*p, scale, *wider)).collect();
            narrow(&values, output)
        }
        _ => {
            let means = sums.iter().map(|p| mean_of(*p, scale));
            (Arc::new(Float64Array::from_iter(means)), vec![])
        }
    }
}

/// The mean of one (sum, number) as a float; `None` of nothing.
pub fn mean_of((sum, n): (i128, i128), scale: i8) -> Option<f64> {
    (n != 0).then(|| sum as f64 / 10f64.powi(i32::from(scale)) / n as f64)
}

/// The mean of one (sum, number) in units of 10^-`wider`, truncated toward zero; `None` of
/// nothing, `i128::MAX` out of range.
pub fn divided((sum, n): (i128, i128), scale: i8, wider: i8) -> Option<i128> {
    let factor = 10i128.checked_pow(u32::from((wider - scale).unsigned_abs()));
    let scaled = || factor.and_then(|f| sum.checked_mul(f)).map(|s| s / n);
    (n != 0).then(|| scaled().unwrap_or(i128::MAX))
}
