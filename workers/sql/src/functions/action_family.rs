//! `action_family(platform, action_type)`: the event that a type of action counts: 'purchase' for
//! Meta's `omni_purchase`, `purchase`, `offsite_conversion.fb_pixel_purchase` and others (the table
//! is in `meta_actions.rs`). The types of other platforms do not overlap: each is its own family.
//! Null if either argument is.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::meta_actions::{META, meta};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(ActionFamily {
        signature: Signature::uniform(2, vec![DataType::Utf8], Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ActionFamily {
    signature: Signature,
}

impl ScalarUDFImpl for ActionFamily {
    fn name(&self) -> &str {
        "action_family"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (platforms, types) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let one = |(platform, action_type): (Option<&'_ str>, Option<&'_ str>)| {
            let (platform, action_type) = (platform?, action_type?);
            let family = if platform == META { meta(action_type) } else { None };
            Some(family.map_or(action_type, |(family, _)| family).to_string())
        };
        let made: StringArray = platforms.iter().zip(types).map(one).collect();
        Ok(ColumnarValue::Array(Arc::new(made) as ArrayRef))
    }
}
