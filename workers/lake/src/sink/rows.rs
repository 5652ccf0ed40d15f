//! Rows of a view as a sorted multiset, and as Parquet.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::delta::stored_schema;
use crate::error::{LakeError, Result};

/// Rows (encoded) with how often each is there.
pub(crate) type Multiset = BTreeMap<Box<[u8]>, i64>;

/// Between columns, encoded rows and files.
pub(crate) struct Codec {
    pub schema: SchemaRef,
    stored: SchemaRef,
    converter: RowConverter,
}

impl Codec {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Codec, ArrowError> {
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        Ok(Codec {
            schema: schema.clone(),
            stored: stored_schema(schema),
            converter: RowConverter::new(fields.collect())?,
        })
    }

    /// Encode the rows of a batch.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<arrow::row::Rows, ArrowError> {
        self.converter.convert_columns(columns)
    }

    /// A file of these rows, each copy written out, in order.
    pub(crate) fn write(&self, rows: &Multiset) -> Result<Bytes> {
        let failed =
            |e: &dyn std::fmt::Display| LakeError::Invalid(format!("rows cannot be written: {e}"));
        let level = ZstdLevel::try_new(1).map_err(|e| failed(&e))?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), self.stored.clone(), Some(properties))
            .map_err(|e| failed(&e))?;
        let parser = self.converter.parser();
        let copies: Vec<_> = rows
            .iter()
            .flat_map(|(row, n)| std::iter::repeat_n(row, usize::try_from(*n).unwrap_or(0)))
            .collect();
        for part in copies.chunks(16_384) {
            let columns = self.converter.convert_rows(part.iter().map(|r| parser.parse(r)));
            let columns = columns.map_err(|e| failed(&e))?;
            let stored = columns.iter().zip(self.stored.fields());
            let stored = stored.map(|(c, f)| cast(c, f.data_type())).collect::<Result<_, _>>();
            let options = RecordBatchOptions::new().with_row_count(Some(part.len()));
            let batch = stored.and_then(|columns| {
                RecordBatch::try_new_with_options(self.stored.clone(), columns, &options)
            });
            writer.write(&batch.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
        }
        writer.into_inner().map(Bytes::from).map_err(|e| failed(&e))
    }

    /// The rows of a file.
    pub(crate) fn read(&self, name: &str, bytes: Bytes) -> Result<Multiset> {
        let mut rows = Multiset::new();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build());
        for batch in reader.map_err(|e| LakeError::corrupt(name, e))? {
            let batch = batch.map_err(|e| LakeError::corrupt(name, e))?;
            let columns = batch.columns().iter().zip(self.schema.fields());
            let columns =
                columns.map(|(c, f)| cast(c, f.data_type())).collect::<Result<Vec<_>, _>>();
            let encoded = columns.and_then(|c| self.encode(&c));
            for row in encoded.map_err(|e| LakeError::corrupt(name, e))?.iter() {
                *rows.entry(row.data().into()).or_default() += 1;
            }
        }
        Ok(rows)
    }

    /// A row, for a person.
    pub(crate) fn show(&self, row: &[u8]) -> String {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows([parser.parse(row)]).unwrap_or_default();
        let options = arrow::util::display::FormatOptions::default().with_null("null");
        let cell = |c: &ArrayRef| {
            let value = arrow::util::display::ArrayFormatter::try_new(c.as_ref(), &options);
            value.map(|v| v.value(0).to_string()).unwrap_or_default()
        };
        columns.iter().map(cell).collect::<Vec<_>>().join(", ")
    }
}
