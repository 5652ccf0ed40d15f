//! Parquet files.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use engine::ports::{Fault, FileBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::convert::declared;
use super::reader::{BATCH_ROWS, Reading};

/// The batches of a Parquet file. One that cannot be opened is one fault.
pub(crate) fn read(
    reading: Reading,
    partition: HashMap<String, ArrayRef>,
    bytes: Bytes,
) -> Box<dyn Iterator<Item = FileBatch>> {
    // A corrupt file must not stop the worker, whatever the decoder does with it.
    let opened = catch_unwind(AssertUnwindSafe(|| open(&reading, &partition, bytes)));
    match opened {
        Ok(Ok((reader, faults))) => {
            Box::new(Batches { reading, partition, reader: Some(reader), faults, next_row: 0 })
        }
        Ok(Err(error)) => Box::new(std::iter::once(reading.only(broken(&reading, &error)))),
        Err(_) => Box::new(std::iter::once(reading.only(broken(&reading, &"decoder failed")))),
    }
}

fn broken(reading: &Reading, error: &dyn std::fmt::Display) -> Fault {
    reading.fault(None, "", format!("is no whole Parquet file: {error}"))
}

fn open(
    reading: &Reading,
    partition: &HashMap<String, ArrayRef>,
    bytes: Bytes,
) -> Result<(ParquetRecordBatchReader, Vec<Fault>), parquet::errors::ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mut faults = vec![];
    let mut wanted = vec![];
    for (i, field) in builder.schema().fields().iter().enumerate() {
        match reading.declared.field_with_name(field.name()) {
            Ok(_) => wanted.push(i),
            Err(_) => faults.push(reading.fault(
                None,
                field.name(),
                format!("is not declared in source '{}'; it is ignored", reading.source),
            )),
        }
    }
    for field in reading.declared.fields() {
        let there = builder.schema().field_with_name(field.name()).is_ok();
        if !there && !partition.contains_key(field.name()) {
            let so = if field.is_nullable() { "it reads as null" } else { "no row can be read" };
            faults.push(reading.fault(None, field.name(), format!("is not in the file; {so}")));
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
    Ok((reader, faults))
}

struct Batches {
    reading: Reading,
    partition: HashMap<String, ArrayRef>,
    reader: Option<ParquetRecordBatchReader>,
    /// Of the file as a whole, handed out with the first batch.
    faults: Vec<Fault>,
    next_row: u64,
}

impl Batches {
    fn batch(&mut self, batch: &RecordBatch) -> FileBatch {
        let schema = batch.schema();
        let names = schema.fields().iter().map(|f| f.name().clone());
        let columns = names.zip(batch.columns().iter().cloned()).collect();
        let rows = batch.num_rows();
        let required = |f: &&std::sync::Arc<arrow::datatypes::Field>| {
            !f.is_nullable()
                && schema.field_with_name(f.name()).is_err()
                && !self.partition.contains_key(f.name())
        };
        let unreadable = self.reading.declared.fields().iter().any(|f| required(&f));
        let first = self.next_row;
        self.next_row += rows as u64;
        if unreadable {
            // One fault for the file says it; not one for each row.
            return FileBatch {
                rows: RecordBatch::new_empty(self.reading.schema.clone()),
                row_numbers: vec![],
                faults: vec![],
            };
        }
        declared(&self.reading, &columns, &self.partition, rows, first, &[])
    }
}

impl Iterator for Batches {
    type Item = FileBatch;

    fn next(&mut self) -> Option<FileBatch> {
        let reader = self.reader.as_mut()?;
        let read = catch_unwind(AssertUnwindSafe(|| reader.next()));
        let failed = match read {
            Ok(Some(Ok(batch))) => {
                let mut batch = self.batch(&batch);
                batch.faults.append(&mut self.faults);
                return Some(batch);
            }
            Ok(Some(Err(error))) => error.to_string(),
            Ok(None) => {
                self.reader = None;
                let fault = (!self.faults.is_empty()).then(|| std::mem::take(&mut self.faults));
                return fault.map(|faults| FileBatch {
                    rows: RecordBatch::new_empty(self.reading.schema.clone()),
                    row_numbers: vec![],
                    faults,
                });
            }
            Err(_) => "decoder failed".to_string(),
        };
        self.reader = None;
        let mut last = self.reading.only(broken(&self.reading, &failed));
        last.faults.append(&mut self.faults);
        Some(last)
    }
}
