//! Parquet files.

use arrow::array::RecordBatch;
use bytes::Bytes;
use engine::ports::{Fault, FileBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::convert::declared;
use super::guard::guarded;
use super::reader::{BATCH_ROWS, Reading};
use super::shape::Shape;
use super::{Batches, FileFormat, Partition};

/// Apache Parquet.
#[derive(Debug)]
pub(crate) struct Parquet;

impl FileFormat for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".parquet"]
    }

    fn is_whole(&self, _head: &[u8], tail: &[u8]) -> bool {
        tail.ends_with(b"PAR1")
    }

    fn read(&self, reading: Reading, partition: Partition, bytes: Bytes) -> Batches {
        read(reading, partition, bytes)
    }
}

/// The batches of a Parquet file. One that cannot be opened is one fault.
pub(crate) fn read(reading: Reading, partition: Partition, bytes: Bytes) -> Batches {
    // A corrupt file must not stop the worker, whatever the decoder does with it.
    let opened = guarded(|| open(&reading, &partition, bytes));
    match opened {
        Some(Ok((_, shape))) if shape.refused => Box::new(std::iter::once(shape.only(&reading))),
        Some(Ok((reader, shape))) => {
            let faults = shape.faults;
            Box::new(RowBatches { reading, partition, reader: Some(reader), faults, next_row: 0 })
        }
        Some(Err(error)) => Box::new(std::iter::once(reading.only(broken(&reading, &error)))),
        None => Box::new(std::iter::once(reading.only(broken(&reading, &"decoder failed")))),
    }
}

fn broken(reading: &Reading, error: &dyn std::fmt::Display) -> Fault {
    reading.fault(None, "", format!("is no whole Parquet file: {error}"))
}

fn open(
    reading: &Reading,
    partition: &Partition,
    bytes: Bytes,
) -> Result<(ParquetRecordBatchReader, Shape), parquet::errors::ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let fields = builder.schema().fields();
    let columns: Vec<_> = fields.iter().map(|f| (f.name().as_str(), Some(f.data_type()))).collect();
    let shape = reading.shape(&columns, partition);
    let wanted = |i: &usize| {
        let (name, field) = (columns[*i].0, &fields[*i]);
        reading.declared.field_with_name(name).is_ok() && !reading.skips(name, field.data_type())
    };
    let wanted = (0..columns.len()).filter(wanted).collect::<Vec<_>>();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
    Ok((reader, shape))
}

struct RowBatches {
    reading: Reading,
    partition: Partition,
    reader: Option<ParquetRecordBatchReader>,
    /// Of the file as a whole, handed out with the first batch.
    faults: Vec<Fault>,
    next_row: u64,
}

impl RowBatches {
    fn batch(&mut self, batch: &RecordBatch) -> FileBatch {
        let schema = batch.schema();
        let names = schema.fields().iter().map(|f| f.name().clone());
        let columns = names.zip(batch.columns().iter().cloned()).collect();
        let rows = batch.num_rows();
        let first = self.next_row;
        self.next_row += rows as u64;
        declared(&self.reading, &columns, &self.partition, rows, first, &[])
    }
}

impl Iterator for RowBatches {
    type Item = FileBatch;

    fn next(&mut self) -> Option<FileBatch> {
        let reader = self.reader.as_mut()?;
        let read = guarded(|| reader.next());
        let failed = match read {
            Some(Some(Ok(batch))) => {
                let mut batch = self.batch(&batch);
                batch.faults.append(&mut self.faults);
                return Some(batch);
            }
            Some(Some(Err(error))) => error.to_string(),
            Some(None) => {
                self.reader = None;
                let fault = (!self.faults.is_empty()).then(|| std::mem::take(&mut self.faults));
                return fault.map(|faults| FileBatch { faults, ..self.reading.nothing() });
            }
            None => "decoder failed".to_string(),
        };
        self.reader = None;
        let mut last = self.reading.only(broken(&self.reading, &failed));
        last.faults.append(&mut self.faults);
        Some(last)
    }
}
