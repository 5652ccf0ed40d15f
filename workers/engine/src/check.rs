//! Declared checks of a source's rows.
//!
//! A row is accepted unless a check is false of it, or cannot be evaluated on it; null passes, as
//! in SQL. Readers apply the checks, so what maintains a view and what recomputes it accept the
//! same rows.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::DataFusionError;
use datafusion_physical_expr::utils::collect_columns;

use crate::plan::Expr;

/// What has to hold of each row.
#[derive(Clone, Debug)]
pub struct Check {
    /// The constraint's name; without one, the expression.
    pub name: String,
    /// The expression, as written.
    pub text: String,
    /// The same over the source's declared columns. Boolean.
    pub predicate: Expr,
}

/// A row that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its position in the batch.
    pub row: usize,
    /// Why, with the values that the check reads.
    pub reason: String,
}

impl Check {
    /// The declared columns that it reads, rising.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> =
            collect_columns(&self.predicate).iter().map(|c| c.index()).collect();
        columns.sort_unstable();
        columns
    }

    /// The rows that this check does not accept, in order.
    pub fn rejected(&self, rows: &RecordBatch) -> Vec<Rejected> {
        let all = match self.evaluate(rows) {
            Ok(passed) => {
                let is_false = |i: &usize| passed.is_valid(*i) && !passed.value(*i);
                let reject = |row| self.reject(rows, row, "is false");
                return (0..rows.num_rows()).filter(is_false).map(reject).collect();
            }
            Err(_) => 0..rows.num_rows(),
        };
        // One bad row must not take the others with it.
        let one = |row: usize| match self.evaluate(&rows.slice(row, 1)) {
            Ok(passed) if passed.is_null(0) || passed.value(0) => None,
            Ok(_) => Some(self.reject(rows, row, "is false")),
            Err(e) => Some(self.reject(rows, row, &format!("fails: {}", e.strip_backtrace()))),
        };
        all.filter_map(one).collect()
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<BooleanArray, DataFusionError> {
        let passed = self.predicate.evaluate(rows)?.into_array(rows.num_rows())?;
        match passed.data_type() {
            DataType::Boolean => Ok(passed.as_boolean().clone()),
            // NULL, whatever the row.
            _ => Ok(BooleanArray::new_null(rows.num_rows())),
        }
    }

    fn reject(&self, rows: &RecordBatch, row: usize, what: &str) -> Rejected {
        let options = FormatOptions::default().with_null("null");
        let shown = self.columns().into_iter().map(|c| {
            let value = ArrayFormatter::try_new(rows.column(c).as_ref(), &options);
            let value = value.map(|f| f.value(row).to_string()).unwrap_or_default();
            format!("{}={value}", rows.schema_ref().field(c).name())
        });
        let shown: Vec<String> = shown.collect();
        Rejected { row, reason: format!("'{}' {what}: {}", self.text, shown.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use datafusion_common::ScalarValue;
    use datafusion_expr::Operator;
    use datafusion_physical_expr::expressions::{BinaryExpr, Column, lit};

    use super::*;

    #[test]
    fn false_is_rejected_null_passes_and_a_failure_is_one_rows() {
        let v: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(0), Some(-5)]));
        let rows = RecordBatch::try_from_iter([("v", v)]).expect("one column");
        let v: Expr = Arc::new(Column::new("v", 0));
        let ten = lit(ScalarValue::Int64(Some(10)));
        let ratio: Expr = Arc::new(BinaryExpr::new(ten, Operator::Divide, v));
        let predicate: Expr =
            Arc::new(BinaryExpr::new(ratio, Operator::Gt, lit(ScalarValue::Int64(Some(0)))));
        let text = "10 / v > 0".to_string();
        let check = Check { name: text.clone(), text, predicate };
        let rejected = check.rejected(&rows);
        let at: Vec<usize> = rejected.iter().map(|r| r.row).collect();
        assert_eq!(at, [2, 3]);
        assert!(rejected[0].reason.starts_with("'10 / v > 0' fails: "), "{rejected:?}");
        assert_eq!(rejected[1].reason, "'10 / v > 0' is false: v=-5");
    }
}
