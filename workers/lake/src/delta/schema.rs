//! Arrow columns as Delta columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};

use crate::error::{LakeError, Result};

/// The Delta schema of `schema`, and the table features it needs.
///
/// # Errors
/// `Invalid` for types that Delta does not have.
pub fn delta_schema(schema: &SchemaRef) -> Result<(Value, Vec<&'static str>)> {
    let mut features = vec![];
    let fields = schema.fields().iter().map(|f| field(f, &mut features));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    features.dedup();
    Ok((json!({"type": "struct", "fields": fields}), features))
}

fn field(f: &Field, features: &mut Vec<&'static str>) -> Result<Value> {
    let delta = delta_type(f.name(), f.data_type(), features)?;
    Ok(json!({"name": f.name(), "type": delta, "nullable": true, "metadata": {}}))
}

fn delta_type(name: &str, t: &DataType, features: &mut Vec<&'static str>) -> Result<Value> {
    Ok(match t {
        DataType::Utf8 => json!("string"),
        DataType::Binary | DataType::FixedSizeBinary(_) => json!("binary"),
        DataType::Boolean => json!("boolean"),
        DataType::Int8 => json!("byte"),
        DataType::Int16 | DataType::UInt8 => json!("short"),
        DataType::Int32 | DataType::UInt16 => json!("integer"),
        DataType::Int64 | DataType::UInt32 => json!("long"),
        DataType::UInt64 => json!("decimal(20,0)"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Date32 => json!("date"),
        DataType::Decimal128(p, s) => json!(format!("decimal({p},{s})")),
        DataType::Timestamp(_, Some(_)) => json!("timestamp"),
        DataType::Timestamp(_, None) => {
            features.push("timestampNtz");
            json!("timestamp_ntz")
        }
        DataType::List(item) => {
            let inner = delta_type(name, item.data_type(), features)?;
            json!({"type": "array", "elementType": inner, "containsNull": true})
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|f| field(f, features)).collect::<Result<Vec<_>>>()?;
            json!({"type": "struct", "fields": fields})
        }
        other => {
            return Err(LakeError::Invalid(format!(
                "column '{name}' is {other}, which a Delta table cannot hold: CAST it in the view"
            )));
        }
    })
}

/// The Arrow schema of a table's files: unsigned integers are stored in the next wider type.
pub fn stored_schema(schema: &SchemaRef) -> SchemaRef {
    let stored = |t: &DataType| match t {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::FixedSizeBinary(_) => DataType::Binary,
        other => other.clone(),
    };
    let fields = schema.fields().iter();
    let fields: Vec<Field> =
        fields.map(|f| Field::new(f.name(), stored(f.data_type()), true)).collect();
    Arc::new(Schema::new(fields))
}
