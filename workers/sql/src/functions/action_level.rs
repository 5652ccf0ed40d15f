//! `action_level(platform, action_type)`: how widely a type of action counts its family, a BIGINT:
//! 1 is the widest (`omni_…`), 8 a single channel (the table is in `meta_actions.rs`). Of the types of
//! one ad, hour, window and family, those of the lowest level that is there say it all; others
//! repeat them. Types of other platforms are 1. Null if either argument is.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::meta_actions::{ALONE, META, meta};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(ActionLevel {
        signature: Signature::uniform(2, vec![DataType::Utf8], Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ActionLevel {
    signature: Signature,
}

impl ScalarUDFImpl for ActionLevel {
    fn name(&self) -> &str {
        "action_level"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (platforms, types) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let one = |(platform, action_type): (Option<&'_ str>, Option<&'_ str>)| {
            let (platform, action_type) = (platform?, action_type?);
            let level = if platform == META { meta(action_type) } else { None };
            Some(level.map_or(ALONE, |(_, level)| level))
        };
        let made: Int64Array = platforms.iter().zip(types).map(one).collect();
        Ok(ColumnarValue::Array(Arc::new(made) as ArrayRef))
    }
}
