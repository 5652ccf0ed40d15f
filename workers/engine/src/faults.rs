//! Faults as rows: what could not be used, where, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::ports::Fault;

/// The name of the view that holds all faults.
pub const FAULTS: &str = "faults";

/// Columns of the faults view: origin, file, row, column, reason.
pub fn fault_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("origin", DataType::Utf8, true),
        Field::new("file", DataType::Utf8, true),
        Field::new("row", DataType::Int64, true),
        Field::new("column", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, true),
    ]))
}

/// `faults` as columns of [`fault_schema`].
pub fn fault_columns(faults: &[Fault]) -> Vec<ArrayRef> {
    let text = |of: fn(&Fault) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(faults.iter().map(of)))
    };
    let rows = faults.iter().map(|f| f.row.and_then(|r| i64::try_from(r).ok()));
    vec![
        text(|f| &f.origin),
        text(|f| &f.file),
        Arc::new(Int64Array::from_iter(rows)),
        text(|f| &f.column),
        text(|f| &f.reason),
    ]
}
