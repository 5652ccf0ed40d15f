//! Columns of a file, and the file's bytes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{File, FileError};

/// Named columns of one length.
#[derive(Default)]
pub(super) struct Columns(Vec<(&'static str, ArrayRef)>);

impl Columns {
    fn with(mut self, name: &'static str, column: ArrayRef) -> Self {
        self.0.push((name, column));
        self
    }

    pub fn text<S: AsRef<str>>(self, name: &'static str, values: impl Iterator<Item = S>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<StringArray>()))
    }

    pub fn texts<S: AsRef<str>>(
        self,
        name: &'static str,
        values: impl Iterator<Item = Option<S>>,
    ) -> Self {
        self.with(name, Arc::new(values.collect::<StringArray>()))
    }

    /// Microseconds since 1970 UTC.
    pub fn time(self, name: &'static str, values: impl Iterator<Item = i64>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<TimestampMicrosecondArray>()))
    }

    pub fn whole(self, name: &'static str, values: impl Iterator<Item = i64>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<Int64Array>()))
    }

    pub fn real(self, name: &'static str, values: impl Iterator<Item = f64>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<Float64Array>()))
    }

    pub fn flag(self, name: &'static str, values: impl Iterator<Item = bool>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<BooleanArray>()))
    }

    /// Days since 1970.
    pub fn day(self, name: &'static str, values: impl Iterator<Item = i64>) -> Self {
        let days = values.map(|d| Some(d as i32));
        self.with(name, Arc::new(days.collect::<Date32Array>()))
    }

    /// DECIMAL(18,6) from 10^-6.
    pub fn decimal(
        self,
        name: &'static str,
        micros: impl Iterator<Item = i64>,
    ) -> Result<Self, ArrowError> {
        let values = Decimal128Array::from_iter_values(micros.map(i128::from));
        Ok(self.with(name, Arc::new(values.with_precision_and_scale(18, 6)?)))
    }

    /// The file `path` (without ending), as Parquet or JSON lines.
    pub fn file(self, path: &str, json: bool) -> Result<File, FileError> {
        let batch = RecordBatch::try_from_iter(self.0)?;
        if json {
            let mut writer = LineDelimitedWriter::new(Vec::new());
            writer.write(&batch)?;
            writer.finish()?;
            return Ok((format!("{path}.jsonl"), writer.into_inner()));
        }
        // The writer's version would change the bytes with every upgrade.
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("tidewatch".to_string())
            .build();
        let parquet = || -> Result<Vec<u8>, ArrowError> {
            let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            Ok(writer.into_inner()?)
        };
        Ok((format!("{path}.parquet"), parquet()?))
    }
}
