//! `convert_micros(amount_micros, from_per_usd, to_per_usd)` = amount · to / from: an amount in 10^-6
//! of one currency in 10^-6 of another, given the units of each per US dollar.
//!
//! Exact: whole micros and DECIMAL rates in, whole micros out, rounded once, halves to even. Null if
//! any argument is. A rate that is not positive, and a result beyond BIGINT, are faults. Converting a
//! sum rounds once; adding up what was converted rounds once per row.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(ConvertMicros { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ConvertMicros {
    signature: Signature,
}

impl ScalarUDFImpl for ConvertMicros {
    fn name(&self) -> &str {
        "convert_micros"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [amount, from, to] = types else {
            return plan_err!("convert_micros takes an amount and two rates");
        };
        let whole = matches!(amount, DataType::Decimal128(_, 0));
        if !(amount.is_integer() || amount.is_null() || whole) {
            return plan_err!(
                "convert_micros: the amount is {amount}, and has to be a whole number of micros"
            );
        }
        Ok(vec![DataType::Int64, rate(from)?, rate(to)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (amounts, from, to) = (
            arrays[0].as_primitive::<Int64Type>(),
            arrays[1].as_primitive::<Decimal128Type>(),
            arrays[2].as_primitive::<Decimal128Type>(),
        );
        // from · 10^-from_scale and to · 10^-to_scale meet at the greater scale.
        let scale = i32::from(from.scale()) - i32::from(to.scale());
        let one = |((amount, from), to): ((Option<i64>, Option<i128>), Option<i128>)| {
            let (Some(amount), Some(from), Some(to)) = (amount, from, to) else {
                return Ok(None);
            };
            if from <= 0 || to <= 0 {
                return exec_err!("a rate of exchange is {}, not positive", from.min(to));
            }
            match converted(amount, from, to, scale) {
                Some(amount) => Ok(Some(amount)),
                None => exec_err!("{amount} micros do not fit a BIGINT in the other currency"),
            }
        };
        let made: Int64Array = amounts.iter().zip(from).zip(to).map(one).collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(made) as ArrayRef))
    }
}

/// Rates stay as exact as they are.
fn rate(given: &DataType) -> Result<DataType> {
    match given {
        DataType::Decimal128(p, s) | DataType::Decimal64(p, s) | DataType::Decimal32(p, s)
            if *s >= 0 =>
        {
            Ok(DataType::Decimal128(*p, *s))
        }
        t if t.is_integer() => Ok(DataType::Decimal128(20, 0)),
        t if t.is_null() => Ok(DataType::Decimal128(18, 6)),
        other => plan_err!(
            "convert_micros: a rate is {other}, and has to be a DECIMAL: \
             write CAST(… AS DECIMAL(18,6))"
        ),
    }
}

/// amount · to · 10^scale / from, halves to even; `None` beyond 64 bits. Rates are positive.
fn converted(amount: i64, from: i128, to: i128, scale: i32) -> Option<i64> {
    let (mut above, mut below) = (i256::from_i128(to), i256::from_i128(from));
    let grow = i256::from_i128(10i128.checked_pow(scale.unsigned_abs())?);
    match scale >= 0 {
        true => above = above.checked_mul(grow)?,
        false => below = below.checked_mul(grow)?,
    }
    let above = above.checked_mul(i256::from_i128(i128::from(amount)))?;
    let (whole, rest) = (above.checked_div(below)?, above.checked_rem(below)?);
    let whole = i64::try_from(whole.to_i128()?).ok()?;
    let twice = rest.checked_abs()?.checked_mul(i256::from_i128(2))?;
    let up = twice > below || (twice == below && whole % 2 != 0);
    whole.checked_add(if up { amount.signum() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_once_and_halves_go_to_the_even_neighbour() {
        // 0.5, 1.5, 2.5 and -1.5 micros.
        for (amount, want) in [(1, 0), (3, 2), (5, 2), (-3, -2), (-5, -2), (7, 4)] {
            assert_eq!(converted(amount, 2_000_000, 1_000_000, 0), Some(want), "{amount}");
        }
        // 10 EUR at 0.92 EUR and 149.5 JPY per USD.
        assert_eq!(converted(10_000_000, 920_000, 149_500_000, 0), Some(1_625_000_000));
        // The same with rates of two scales.
        assert_eq!(converted(10_000_000, 92, 149_500_000, -4), Some(1_625_000_000));
        assert_eq!(converted(10_000_000, 920_000, 1495, 5), Some(1_625_000_000));
    }

    #[test]
    fn one_currency_is_itself_and_what_does_not_fit_is_nothing() {
        for amount in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(converted(amount, 1_234_567, 1_234_567, 0), Some(amount));
        }
        assert_eq!(converted(i64::MAX, 1, 2, 0), None);
        assert_eq!(converted(i64::MAX, 1, i128::MAX, 38), None);
        // Nearly nothing is nothing.
        assert_eq!(converted(i64::MAX, i128::MAX, 1, -38), Some(0));
    }
}
