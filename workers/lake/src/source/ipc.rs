//! Arrow IPC: files (Feather) and streams, told apart by their first bytes.
//!
//! Both have an end that shows that they are whole. A file or stream without it is one fault.

use std::collections::HashMap;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_ipc::reader::{FileReader, StreamReader};
use bytes::Bytes;
use engine::ports::{Fault, FileBatch};

use super::convert::declared;
use super::reader::{BATCH_ROWS, Reading};
use super::{Batches, FileFormat, Partition};

/// First and last bytes of a file.
const MAGIC: &[u8] = b"ARROW1";
/// Last bytes of a stream.
const END_OF_STREAM: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Arrow IPC.
#[derive(Debug)]
pub(crate) struct ArrowIpc;

impl FileFormat for ArrowIpc {
    fn name(&self) -> &'static str {
        "arrow"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".arrow", ".arrows", ".feather", ".ipc"]
    }

    fn is_whole(&self, head: &[u8], tail: &[u8]) -> bool {
        tail.ends_with(if head.starts_with(MAGIC) { MAGIC } else { END_OF_STREAM })
    }

    fn read(&self, reading: Reading, partition: Partition, bytes: Bytes) -> Batches {
        if !self.is_whole(&bytes, &bytes) {
            return reading.broken("is no whole Arrow file or stream: its end is missing".into());
        }
        // A corrupt file must not stop the worker, whatever the decoder does with it.
        let opened = catch_unwind(AssertUnwindSafe(|| open(bytes)));
        let (schema, parts) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return reading.broken(broken(&error)),
            Err(_) => return reading.broken(broken(&"decoder failed")),
        };
        let fields = schema.fields().iter();
        let columns: Vec<_> = fields.map(|f| (f.name().as_str(), Some(f.data_type()))).collect();
        let shape = reading.shape(&columns, &partition);
        if shape.refused {
            return Box::new(std::iter::once(shape.only(&reading)));
        }
        let faults = shape.faults;
        let mut rows = Parts { reading, partition, parts: Some(parts), faults, next_row: 0 };
        let batches = std::iter::from_fn(move || rows.part());
        Box::new(batches.flatten())
    }
}

fn broken(error: &dyn std::fmt::Display) -> String {
    format!("is no whole Arrow file or stream: {error}")
}

type RecordBatches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

fn open(bytes: Bytes) -> Result<(SchemaRef, RecordBatches), ArrowError> {
    if bytes.starts_with(MAGIC) {
        let reader = FileReader::try_new(Cursor::new(bytes), None)?;
        return Ok((reader.schema(), Box::new(reader)));
    }
    let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    Ok((reader.schema(), Box::new(reader)))
}

struct Parts {
    reading: Reading,
    partition: Partition,
    /// `None` at the end.
    parts: Option<RecordBatches>,
    /// Of the file as a whole, handed out with the first batch.
    faults: Vec<Fault>,
    next_row: u64,
}

impl Parts {
    /// The next batch of the file, in batches of our size.
    fn part(&mut self) -> Option<Vec<FileBatch>> {
        let parts = self.parts.as_mut()?;
        let read = catch_unwind(AssertUnwindSafe(|| parts.next()));
        let mut batches = match read {
            Ok(Some(Ok(part))) => self.batches(&part),
            Ok(None) => {
                self.parts = None;
                vec![]
            }
            failed => {
                self.parts = None;
                let reason = match failed {
                    Ok(Some(Err(error))) => broken(&error),
                    _ => broken(&"decoder failed"),
                };
                vec![self.reading.only(self.reading.fault(None, "", reason))]
            }
        };
        if batches.is_empty() && !self.faults.is_empty() {
            batches.push(self.reading.nothing());
        }
        if let Some(first) = batches.first_mut() {
            first.faults.append(&mut self.faults);
        }
        Some(batches)
    }

    fn batches(&mut self, part: &RecordBatch) -> Vec<FileBatch> {
        let mut batches = vec![];
        for at in (0..part.num_rows()).step_by(BATCH_ROWS) {
            let batch = part.slice(at, BATCH_ROWS.min(part.num_rows() - at));
            let schema = batch.schema();
            let names = schema.fields().iter().map(|f| f.name().clone());
            let columns: HashMap<String, ArrayRef> =
                names.zip(batch.columns().iter().cloned()).collect();
            let (rows, first) = (batch.num_rows(), self.next_row);
            self.next_row += rows as u64;
            batches.push(declared(&self.reading, &columns, &self.partition, rows, first, &[]));
        }
        batches
    }
}
