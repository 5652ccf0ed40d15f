//! `day_start(day, zone)`: the instant (TIMESTAMP, UTC) at which the clocks of `zone` first show
//! the DATE `day`. Where clocks leave midnight out, the day begins when they are put forward.
//!
//! A day ends where the next one begins: `at >= day_start(day, zone) AND at < day_start(day + 1,
//! zone)`. Null if either is. A zone that does not exist is a fault.

use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::zone::{check_zone, day_and_zone, day_start_us, each};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(DayStart { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DayStart {
    signature: Signature,
}

impl ScalarUDFImpl for DayStart {
    fn name(&self) -> &str {
        "day_start"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        day_and_zone(self.name(), types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        check_zone(&args)?;
        Ok(Field::new(self.name(), DataType::Timestamp(TimeUnit::Microsecond, None), true).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each::<Date32Type, TimestampMicrosecondType>(&args, day_start_us)
    }
}
