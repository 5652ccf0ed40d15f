//! `hours_in_day(day, zone)`: hours from the beginning of the local DATE `day` to that of the next
//! day. A DOUBLE: 24, or 23 and 25 when clocks change; 23.5 and 24.5 on Lord Howe Island; 0 for a
//! day that the zone left out.
//!
//! Null if either is. A zone that does not exist is a fault.

use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Float64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::zone::{check_zone, day_and_zone, day_start_us, each};

const HOUR_US: f64 = 3_600_000_000.0;

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(HoursInDay { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HoursInDay {
    signature: Signature,
}

impl ScalarUDFImpl for HoursInDay {
    fn name(&self) -> &str {
        "hours_in_day"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        day_and_zone(self.name(), types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        check_zone(&args)?;
        Ok(Field::new(self.name(), DataType::Float64, true).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each::<Date32Type, Float64Type>(&args, |zone, day| {
            let Some(next) = day.checked_add(1) else {
                return exec_err!("the last DATE has no next one");
            };
            let us = day_start_us(zone, next)? - day_start_us(zone, day)?;
            Ok(us as f64 / HOUR_US)
        })
    }
}
