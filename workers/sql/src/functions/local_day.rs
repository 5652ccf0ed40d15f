//! `local_day(at, zone)`: the DATE that the clocks of `zone` show at `at` (TIMESTAMP, UTC).
//!
//! Null if either is. A zone that does not exist is a fault.

use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, TimestampMicrosecondType};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::zone::{DAY_US, check_zone, each, instant_and_zone, local_us};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(LocalDay { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalDay {
    signature: Signature,
}

impl ScalarUDFImpl for LocalDay {
    fn name(&self) -> &str {
        "local_day"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        instant_and_zone(self.name(), types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        check_zone(&args)?;
        Ok(Field::new(self.name(), DataType::Date32, true).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each::<TimestampMicrosecondType, Date32Type>(&args, |zone, at| {
            let day = local_us(zone, at)?.div_euclid(DAY_US);
            i32::try_from(day).or_else(|_| exec_err!("day {day} after 1970 is no DATE"))
        })
    }
}
