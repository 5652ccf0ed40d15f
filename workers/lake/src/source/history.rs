//! The committed history of an upsert source, read back.

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use engine::ports::{FileBatch, PortError, SourceFile};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::Time;

use super::SourceConfig;
use super::reader::BATCH_ROWS;
use crate::delta::Table;
use crate::error::{LakeError, Result};
use crate::sink::table_folder;
use crate::store::Store;

/// The files of the history of `source` in the lake, at `version` of its table or the last one.
/// `created` is when the source was. Empty if nothing is committed yet.
///
/// # Errors
/// Outages, or a table that makes no sense.
pub async fn history(
    store: &Store,
    source: &str,
    created: Time,
    version: Option<u64>,
) -> Result<Vec<SourceFile>> {
    let folder = table_folder(&format!("{source}_history"), created);
    let table = Table::load(store, &folder, version).await?;
    let file = |add: &crate::delta::Add| {
        SourceFile::history(source, format!("{folder}/{}", add.path), add.size)
    };
    Ok(table.files.values().map(file).collect())
}

/// The batches of the history file `path`: declared columns, then the three of its origin.
pub(super) fn read(
    config: &SourceConfig,
    path: &str,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<FileBatch, PortError>> + use<>> {
    let schema = engine::history_schema(&config.schema);
    let name = path.to_string();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|b| b.with_batch_size(BATCH_ROWS).build())
        .map_err(|e| LakeError::corrupt(path, e))?;
    Ok(builder.map(move |batch| {
        let batch = batch.map_err(|e| LakeError::corrupt(&name, e))?;
        let rows = normal(&batch, &schema).map_err(|e| LakeError::corrupt(&name, e))?;
        Ok(FileBatch { rows, row_numbers: vec![], faults: vec![] })
    }))
}

/// From the types of a table's files back to normal ones. A column that was declared after a file
/// was written is null.
fn normal(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let nullable = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    let schema = arrow::datatypes::Schema::new(nullable.collect::<Vec<_>>());
    let columns = schema.fields().iter().map(|f| match batch.column_by_name(f.name()) {
        Some(column) => cast(column, f.data_type()),
        None => Ok(new_null_array(f.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.into(), columns)
}
