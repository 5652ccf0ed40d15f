//! `local_hour(at, zone)`: what the clocks of `zone` show at `at` (TIMESTAMP, UTC), cut to the hour.
//! A TIMESTAMP without a zone: wall-clock time, for reading and for patterns of the day.
//!
//! It is no key: the hour that clocks repeat in autumn has two instants. Null if either argument
//! is. A zone that does not exist is a fault.

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::zone::{check_zone, each, instant_and_zone, local_us};

const HOUR_US: i64 = 3_600_000_000;

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(LocalHour { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalHour {
    signature: Signature,
}

impl ScalarUDFImpl for LocalHour {
    fn name(&self) -> &str {
        "local_hour"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        instant_and_zone(self.name(), types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        check_zone(&args)?;
        Ok(Field::new(self.name(), DataType::Timestamp(TimeUnit::Microsecond, None), true).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each::<TimestampMicrosecondType, TimestampMicrosecondType>(&args, |zone, at| {
            let shown = local_us(zone, at)?;
            Ok(shown - shown.rem_euclid(HOUR_US))
        })
    }
}
