//! A view's rows as Parquet files, and back.

use std::iter::repeat_n;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::changes::{GATHERED_ROWS, Place, Row, gather_column};
use super::stats::{NotANumber, stats};
use crate::delta::stored_schema;
use crate::error::{LakeError, Result};

/// Rows of a batch read from a file.
const READ_ROWS: usize = 1 << 14;

/// A file's bytes, and what Delta's `stats` says of them.
pub(crate) struct Encoded {
    pub bytes: Bytes,
    pub stats: String,
}

/// Between a view's rows and its files.
pub(crate) struct Codec {
    schema: SchemaRef,
    stored: SchemaRef,
    properties: WriterProperties,
    time_column: Option<usize>,
    /// Columns that a file's rows are sorted by; ties fall to the hash.
    order: Vec<usize>,
}

impl Codec {
    pub(crate) fn new(schema: &SchemaRef, time_column: Option<usize>) -> Result<Codec> {
        let stored = stored_schema(schema);
        let first = (0..schema.fields().len()).find(|c| Some(*c) != time_column);
        Ok(Codec {
            schema: schema.clone(),
            properties: properties(&stored)?,
            stored,
            time_column,
            order: time_column.into_iter().chain(first).collect(),
        })
    }

    /// The view's columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A file of these rows, each copy written out.
    pub(crate) fn encode(&self, batches: &[RecordBatch], rows: &[Row]) -> Result<Encoded> {
        let failed =
            |e: &dyn std::fmt::Display| LakeError::Invalid(format!("rows cannot be written: {e}"));
        let places = self.sorted(batches, rows).map_err(|e| failed(&e))?;
        let properties = Some(self.properties.clone());
        let mut writer = ArrowWriter::try_new(Vec::new(), self.stored.clone(), properties)
            .map_err(|e| failed(&e))?;
        let mut nan = NotANumber::new(&self.stored);
        for part in places.chunks(GATHERED_ROWS) {
            let batch = self.stored(batches, part).map_err(|e| failed(&e))?;
            nan.see(&batch);
            writer.write(&batch).map_err(|e| failed(&e))?;
        }
        let written = writer.finish().map_err(|e| failed(&e))?;
        let stats = stats(&written, &self.stored, self.time_column, &nan);
        let bytes = std::mem::take(writer.inner_mut());
        Ok(Encoded { bytes: Bytes::from(bytes), stats })
    }

    /// The rows at `places` as they are stored.
    fn stored(&self, batches: &[RecordBatch], places: &[Place]) -> Result<RecordBatch, ArrowError> {
        let indices: Vec<(usize, usize)> =
            places.iter().map(|p| (p.batch as usize, p.row as usize)).collect();
        let column = |(c, field): (usize, &arrow::datatypes::FieldRef)| {
            let column = gather_column(batches, c, &indices)?;
            cast_to(&column, field.data_type())
        };
        let columns = self.stored.fields().iter().enumerate().map(column);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        RecordBatch::try_new_with_options(self.stored.clone(), columns, &options)
    }

    /// The place of each copy, in the order in which a file holds them: neighbours in time and
    /// name are alike, which compresses better and lets readers skip pages.
    fn sorted(&self, batches: &[RecordBatch], rows: &[Row]) -> Result<Vec<Place>, ArrowError> {
        let indices: Vec<(usize, usize)> =
            rows.iter().map(|r| (r.place.batch as usize, r.place.row as usize)).collect();
        let mut keys: Vec<([u128; 2], u64, &Row)> =
            rows.iter().map(|r| ([0, 0], (r.hash >> 64) as u64, r)).collect();
        for (at, column) in self.order.iter().enumerate() {
            let column = gather_column(batches, *column, &indices)?;
            for (key, leading) in keys.iter_mut().zip(leading(&column)?) {
                key.0[at] = leading;
            }
        }
        // A rewritten file's rows come in order already, which a stable sort takes notice of.
        keys.sort_by_key(|k| (k.0, k.1));
        let copies = |r: &Row| usize::try_from(r.copies).unwrap_or(0);
        Ok(keys.into_iter().flat_map(|(_, _, r)| repeat_n(r.place, copies(r))).collect())
    }

    /// The rows of the file `name`.
    pub(crate) fn decode(&self, name: &str, bytes: Bytes) -> Result<Vec<RecordBatch>> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|b| b.with_batch_size(READ_ROWS).build())
            .map_err(|e| LakeError::corrupt(name, e))?;
        let decoded = |batch: Result<RecordBatch, ArrowError>| {
            let batch = batch?;
            let columns = batch.columns().iter().zip(self.schema.fields());
            let columns = columns.map(|(c, f)| cast_to(c, f.data_type()));
            RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<Vec<_>, _>>()?)
        };
        reader.map(|b| decoded(b).map_err(|e| LakeError::corrupt(name, e))).collect()
    }
}

fn cast_to(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == wanted { Ok(column.clone()) } else { cast(column, wanted) }
}

/// Per value a number that orders values as they are ordered, except that strings may share one
/// (their first 16 bytes count); all the same for types without an order worth having.
fn leading(column: &ArrayRef) -> Result<Vec<u128>, ArrowError> {
    let mut leading: Vec<u128> = if let Some(strings) = column.as_string_opt::<i32>() {
        let first = |text: &str| {
            let mut word = [0; 16];
            let length = text.len().min(16);
            word[..length].copy_from_slice(&text.as_bytes()[..length]);
            u128::from_be_bytes(word)
        };
        (0..strings.len()).map(|i| first(strings.value(i))).collect()
    } else if column.data_type().is_signed_integer() || column.data_type().is_temporal() {
        let wide = cast(column, &DataType::Int64)?;
        let wide = wide.as_primitive::<Int64Type>();
        wide.values().iter().map(|v| u128::from((*v as u64) ^ (1 << 63))).collect()
    } else {
        vec![0; column.len()]
    };
    if column.null_count() > 0 {
        for (i, key) in leading.iter_mut().enumerate() {
            *key = if column.is_null(i) { 0 } else { *key };
        }
    }
    Ok(leading)
}

fn properties(stored: &SchemaRef) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1);
    let level = level.map_err(|e| LakeError::Invalid(format!("zstd has no level 1: {e}")))?;
    let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    for field in stored.fields() {
        // Sums and shares differ from row to row: their dictionaries are given up after they cost
        // most of the time.
        if matches!(field.data_type(), DataType::Float32 | DataType::Float64) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(properties.build())
}
