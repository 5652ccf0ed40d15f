//! A Delta log's checkpoint: all actions in force at a version, as one Parquet file.
//!
//! Classic checkpoints (Delta protocol, "Checkpoints", V1 spec), one action per row. Removed files
//! are not in it: what may still be read of them is the floor's business, not a tombstone's.
//! `_last_checkpoint` is not written: it is only a hint, and the one object of the protocol that
//! would have to be overwritten, by which a fenced leader could send readers to a checkpoint that
//! is gone.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use crate::error::{LakeError, Result};

/// Actions per batch.
const BATCH_ROWS: usize = 8_192;

/// `actions` (`{"add": …}`, `{"metaData": …}`, …) as a checkpoint file.
pub(super) fn encode(name: &str, actions: &[Value]) -> Result<Bytes> {
    let bad = |e: &dyn std::fmt::Display| LakeError::corrupt(name, e);
    let level = ZstdLevel::try_new(1).map_err(|e| bad(&e))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema(), Some(properties)).map_err(|e| bad(&e))?;
    let builder = ReaderBuilder::new(schema()).with_batch_size(BATCH_ROWS);
    let mut decoder = builder.build_decoder().map_err(|e| bad(&e))?;
    for part in actions.chunks(BATCH_ROWS) {
        decoder.serialize(part).map_err(|e| bad(&e))?;
        if let Some(batch) = decoder.flush().map_err(|e| bad(&e))? {
            writer.write(&batch).map_err(|e| bad(&e))?;
        }
    }
    writer.into_inner().map(Bytes::from).map_err(|e| bad(&e))
}

/// The actions of a checkpoint file, as the log's JSON lines.
pub(super) fn decode(name: &str, bytes: Bytes) -> Result<Bytes> {
    let bad = |e: &dyn std::fmt::Display| LakeError::corrupt(name, e);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build());
    let batches: Vec<RecordBatch> =
        reader.map_err(|e| bad(&e))?.collect::<Result<_, _>>().map_err(|e| bad(&e))?;
    let mut writer = LineDelimitedWriter::new(Vec::new());
    for batch in &batches {
        writer.write(batch).map_err(|e| bad(&e))?;
    }
    writer.finish().map_err(|e| bad(&e))?;
    Ok(Bytes::from(writer.into_inner()))
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let of = |name: &str, fields: Vec<Field>| {
        Field::new(name, DataType::Struct(Fields::from(fields)), true)
    };
    let add = vec![
        text("path"),
        map("partitionValues"),
        long("size"),
        long("modificationTime"),
        Field::new("dataChange", DataType::Boolean, true),
        text("stats"),
        map("tags"),
    ];
    let format = of("format", vec![text("provider"), map("options")]);
    let meta_data = vec![
        text("id"),
        format,
        text("schemaString"),
        list("partitionColumns"),
        map("configuration"),
        long("createdTime"),
    ];
    let protocol = vec![
        int("minReaderVersion"),
        int("minWriterVersion"),
        list("readerFeatures"),
        list("writerFeatures"),
    ];
    Arc::new(Schema::new(vec![
        of("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        of("add", add),
        of("metaData", meta_data),
        of("protocol", protocol),
    ]))
}

fn map(name: &str) -> Field {
    let key = Field::new("key", DataType::Utf8, false);
    let value = Field::new("value", DataType::Utf8, true);
    let entries = DataType::Struct(Fields::from(vec![key, value]));
    Field::new(name, DataType::Map(Arc::new(Field::new("key_value", entries, false)), false), true)
}

fn list(name: &str) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true)
}
