//! `robust_zscore(x, median, mad)` = 0.6745 · (x − median) / max(mad, 5 % of |median|, 1).
//!
//! The modified z-score of Iglewicz & Hoaglin (1993, "How to Detect and Handle Outliers"), with a
//! floor under the spread so that a campaign that never varies is not infinitely surprising.
//! Units: that of x cancels; the floor of 1 is in x's unit. Null if any argument is.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(RobustZscore {
        signature: Signature::uniform(3, vec![DataType::Float64], Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RobustZscore {
    signature: Signature,
}

impl ScalarUDFImpl for RobustZscore {
    fn name(&self) -> &str {
        "robust_zscore"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let column = |i: usize| arrays[i].as_primitive::<Float64Type>().iter();
        let one = |((x, median), mad): ((Option<f64>, Option<f64>), Option<f64>)| {
            let (x, median, mad) = (x?, median?, mad?);
            Some(0.6745 * (x - median) / mad.max(0.05 * median.abs()).max(1.0))
        };
        let scores: Float64Array = column(0).zip(column(1)).zip(column(2)).map(one).collect();
        Ok(ColumnarValue::Array(Arc::new(scores) as ArrayRef))
    }
}
