//! Which columns a file has, against those that are declared.
//!
//! A column that a file lacks reads as null if the source says so (`DEFAULT NULL`), or if the file
//! was there when the column was declared; otherwise it was taken away, and no row of the file
//! counts. A column whose type does not hold every value of the file's is refused as well: that is
//! decided by types, so that a changed unit cannot slip in where a value happens to fit.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use engine::ports::{Fault, FileBatch};
use schemas::normal::normal_type;

use super::Partition;
use super::reader::Reading;

/// What a file's columns say of it as a whole.
pub(crate) struct Shape {
    /// Handed out once, with the first batch.
    pub faults: Vec<Fault>,
    /// No row of it can be read.
    pub refused: bool,
}

impl Shape {
    /// Nothing but the faults.
    pub(crate) fn only(self, reading: &Reading) -> FileBatch {
        FileBatch { faults: self.faults, ..reading.nothing() }
    }
}

impl Reading {
    /// The shape of a file with these columns; their types, if its format knows any.
    pub(crate) fn shape(
        &self,
        columns: &[(&str, Option<&DataType>)],
        partition: &Partition,
    ) -> Shape {
        let mut shape = Shape { faults: vec![], refused: false };
        let mut seen = BTreeSet::new();
        for (name, data_type) in columns {
            if !seen.insert(*name) {
                shape.refuse(self, name, "is in the file twice".to_string());
                continue;
            }
            let Ok(field) = self.declared.field_with_name(name) else {
                let source = &self.source;
                let reason = format!("is not declared in source '{source}'; it is ignored");
                shape.faults.push(self.fault(None, name, reason));
                continue;
            };
            let normal = data_type.map(|t| normal_type(t).unwrap_or(DataType::Null));
            if let Some(is) = normal.filter(|t| !holds(field.data_type(), t)) {
                let wanted = field.data_type();
                let reason = format!(
                    "is {is} in the file, but declared {wanted}, which does not hold all such \
                     values; correct the file or the declaration"
                );
                shape.refuse(self, name, reason);
            }
        }
        for field in self.declared.fields() {
            let name = field.name();
            let there = seen.contains(name.as_str()) || partition.contains_key(name);
            if there || self.optional.contains(name) {
                continue;
            }
            if !field.is_nullable() {
                shape.refuse(self, name, "is not in the file, but declared NOT NULL".to_string());
            } else if self.known {
                let reason = "is not in the file; it reads as null".to_string();
                shape.faults.push(self.fault(None, name, reason));
            } else {
                let reason = "is not in the file; correct it, or declare the column DEFAULT NULL \
                              if files may lack it";
                shape.refuse(self, name, reason.to_string());
            }
        }
        shape
    }
}

impl Shape {
    fn refuse(&mut self, reading: &Reading, column: &str, reason: String) {
        self.refused = true;
        self.faults.push(reading.fault(None, column, format!("{reason}; no row can be read")));
    }
}

/// Whether `wanted` can take the values of a file's column of type `is`: every value has its exact
/// form there, or conversion finds the ones that have none (text is parsed; exports that hold nulls
/// turn integers into floats). Both are normal types.
fn holds(wanted: &DataType, is: &DataType) -> bool {
    use DataType as T;
    if is == wanted || is == &T::Null {
        return true;
    }
    match (is, wanted) {
        (T::Utf8 | T::Binary, t) => !t.is_nested(),
        (T::FixedSizeBinary(_), T::Binary) => true,
        (f, T::Utf8) => f.is_integer(),
        (f, T::Decimal128(p, s) | T::Decimal256(p, s)) if f.is_integer() => {
            i16::from(digits(f)) <= i16::from(*p) - i16::from(*s)
        }
        (f, t) if f.is_integer() && t.is_integer() => integer_holds(t, f),
        (f, T::Float64) if f.is_integer() => bits(f) <= 32,
        (f, T::Float32) if f.is_integer() => bits(f) <= 16,
        (T::Float32, T::Float64) => true,
        (f, t) if f.is_floating() => t.is_integer() || t.is_decimal(),
        (
            T::Decimal128(p, s) | T::Decimal256(p, s),
            T::Decimal128(wanted_p, wanted_s) | T::Decimal256(wanted_p, wanted_s),
        ) => {
            let whole = |p: &u8, s: &i8| i16::from(*p) - i16::from(*s);
            wanted_s >= s && whole(wanted_p, wanted_s) >= whole(p, s)
        }
        (T::Decimal128(p, 0), t) if t.is_integer() => *p < digits(t),
        (T::Date32 | T::Timestamp(_, _), T::Timestamp(_, _)) => true,
        (T::List(f), T::List(t)) => holds(t.data_type(), f.data_type()),
        (T::Struct(f), T::Struct(t)) => {
            let held = |(f, t): (&arrow::datatypes::FieldRef, &arrow::datatypes::FieldRef)| {
                f.name() == t.name() && holds(t.data_type(), f.data_type())
            };
            f.len() == t.len() && f.iter().zip(t.iter()).all(held)
        }
        _ => false,
    }
}

fn bits(integer: &DataType) -> usize {
    integer.primitive_width().unwrap_or(8) * 8
}

/// Decimal digits of an integer type's largest value.
fn digits(integer: &DataType) -> u8 {
    match bits(integer) {
        8 => 3,
        16 => 5,
        32 => 10,
        _ if integer.is_unsigned_integer() => 20,
        _ => 19,
    }
}

fn integer_holds(wanted: &DataType, is: &DataType) -> bool {
    match (is.is_signed_integer(), wanted.is_signed_integer()) {
        (false, true) => bits(wanted) > bits(is),
        (true, false) => false,
        _ => bits(wanted) >= bits(is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType as T;
    use arrow::datatypes::TimeUnit::Microsecond;

    #[test]
    fn wider_types_take_narrower_ones() {
        for (narrow, wide) in [
            (T::Int32, T::Int64),
            (T::UInt32, T::Int64),
            (T::Float32, T::Float64),
            (T::Int64, T::Decimal128(25, 6)),
            (T::Decimal128(18, 6), T::Decimal128(20, 6)),
            (T::Decimal128(18, 6), T::Decimal128(20, 8)),
            (T::Date32, T::Timestamp(Microsecond, None)),
        ] {
            assert!(holds(&wide, &narrow), "{wide} holds {narrow}");
            assert!(!holds(&narrow, &wide), "{narrow} does not hold {wide}");
        }
        assert!(holds(&T::Utf8, &T::Int64) && holds(&T::Float64, &T::Int32));
        assert!(holds(&T::Int64, &T::Utf8) && holds(&T::Int64, &T::Float64), "value by value");
    }

    #[test]
    fn changed_types_are_refused() {
        for (is, wanted) in [
            (T::Int64, T::Timestamp(Microsecond, None)),
            (T::Int64, T::Float64),
            (T::UInt64, T::Int64),
            (T::Int8, T::UInt64),
            (T::Boolean, T::Int64),
            (T::Float64, T::Utf8),
            (T::Int64, T::Decimal128(18, 6)),
            (T::Decimal128(18, 6), T::Decimal128(18, 8)),
            (T::Decimal128(19, 0), T::Int64),
        ] {
            assert!(!holds(&wanted, &is), "{is} as {wanted}");
        }
    }
}
