//! One physical type per logical type.
//!
//! Equal values must hash and compare alike wherever they came from, so views, dictionaries, large
//! offsets and foreign time units are converted at the source and at every state boundary, and
//! floats have one zero and one NaN.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, ListArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, IntervalUnit};
use arrow::datatypes::{Schema, TimeUnit};
use arrow::error::ArrowError;

/// The time zone of every zoned timestamp inside the engine.
pub const UTC: &str = "+00:00";

/// The physical type that stands for `logical`, or `None` if values of it cannot be kept in state
/// (`Null`, `Map`, `Union`).
pub fn normal_type(logical: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match logical {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView => T::Binary,
        T::Dictionary(_, values) => normal_type(values)?,
        T::RunEndEncoded(_, values) => normal_type(values.data_type())?,
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(_, Some(_)) => T::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        T::Date32 | T::Date64 => T::Date32,
        T::Time32(_) | T::Time64(_) => T::Time64(TimeUnit::Microsecond),
        T::Duration(_) => T::Duration(TimeUnit::Microsecond),
        T::Interval(_) => T::Interval(IntervalUnit::MonthDayNano),
        T::Float16 => T::Float32,
        T::Decimal32(p, s) | T::Decimal64(p, s) => T::Decimal128(*p, *s),
        T::List(f) | T::LargeList(f) | T::ListView(f) | T::LargeListView(f) => {
            T::List(normal_field(f)?)
        }
        T::FixedSizeList(f, _) => T::List(normal_field(f)?),
        T::Struct(fields) => {
            T::Struct(fields.iter().map(normal_field).collect::<Option<Vec<_>>>()?.into())
        }
        T::Null | T::Map(_, _) | T::Union(_, _) => return None,
        same => same.clone(),
    })
}

fn normal_field(field: &FieldRef) -> Option<FieldRef> {
    let inner = normal_type(field.data_type())?;
    Some(Arc::new(Field::new(field.name(), inner, true)))
}

/// The normal form of a schema: normal types, every field nullable. `Err` names the first field
/// whose type has none.
pub fn normal_schema(schema: &Schema) -> Result<Schema, String> {
    let fields = schema.fields().iter().map(|f| {
        let inner = normal_type(f.data_type()).ok_or_else(|| f.name().clone())?;
        Ok(Field::new(f.name(), inner, true))
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>, String>>()?))
}

/// `array` in its normal form: same length, normal type, one zero and one NaN.
///
/// # Errors
/// A value that does not fit the normal type (a timestamp outside the microsecond range).
pub fn normalize(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let normal = normal_type(array.data_type()).ok_or_else(|| {
        ArrowError::NotYetImplemented(format!("values of type {} in state", array.data_type()))
    })?;
    let array = if array.data_type() == &normal { array.clone() } else { cast(array, &normal)? };
    normalize_floats(array)
}

fn normalize_floats(array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Float64 => {
            let a = array.as_primitive::<Float64Type>();
            if !a.values().iter().any(|v| odd64(*v)) {
                return Ok(array);
            }
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(a.unary::<_, Float64Type>(one)) as Arc<Float64Array>
        }
        DataType::Float32 => {
            let a = array.as_primitive::<Float32Type>();
            if !a.values().iter().any(|v| odd64(f64::from(*v)) || v.is_nan()) {
                return Ok(array);
            }
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(a.unary::<_, Float32Type>(one)) as Arc<Float32Array>
        }
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let values = normalize_floats(list.values().clone())?;
            let nulls = list.nulls().cloned();
            Arc::new(ListArray::try_new(field.clone(), list.offsets().clone(), values, nulls)?)
        }
        DataType::Struct(fields) => {
            let s = array.as_struct();
            let columns = s.columns().iter().cloned().map(normalize_floats);
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, s.nulls().cloned())?)
        }
        _ => array,
    })
}

/// A negative zero, or a NaN whose bits are not the canonical ones.
fn odd64(v: f64) -> bool {
    (v == 0.0 && v.is_sign_negative()) || (v.is_nan() && v.to_bits() != f64::NAN.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int32Array, StringArray};

    #[test]
    fn floats_have_one_zero_and_one_nan() {
        let odd = f64::from_bits(f64::NAN.to_bits() | 1 | 1 << 63);
        let a: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(odd), None, Some(1.5)]));
        let n = normalize(&a).expect("floats have a normal form");
        let n = n.as_primitive::<Float64Type>();
        assert_eq!(n.value(0).to_bits(), 0.0f64.to_bits());
        assert_eq!(n.value(1).to_bits(), f64::NAN.to_bits());
        assert!(n.is_null(2));
    }

    #[test]
    fn dictionaries_become_plain_strings() {
        let keys = Int32Array::from(vec![1, 0, 1]);
        let values: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let d: ArrayRef = Arc::new(DictionaryArray::try_new(keys, values).expect("valid keys"));
        let n = normalize(&d).expect("strings have a normal form");
        assert_eq!(n.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["b", "a", "b"]);
    }
}
