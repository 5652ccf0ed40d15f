//! Arrow IPC: files (Feather) and streams, told apart by their first bytes.
//!
//! Both have an end that shows that they are whole. A file or stream without it is one fault.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{FileDecoder, StreamDecoder, read_footer_length};
use arrow_ipc::{Block, root_as_footer};
use bytes::Bytes;
use engine::ports::{Fault, FileBatch};

use super::convert::declared;
use super::guard::guarded;
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
        let opened = guarded(|| open(bytes));
        let (schema, parts) = match opened {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => return reading.broken(broken(&error)),
            None => return reading.broken(broken(&"decoder failed")),
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

/// The parts that a file's own lengths ask for are cut from its bytes, never allocated: a damaged
/// length must not exhaust memory.
fn open(bytes: Bytes) -> Result<(SchemaRef, RecordBatches), ArrowError> {
    let is_file = bytes.starts_with(MAGIC);
    let buffer = Buffer::from(bytes);
    if is_file { open_file(buffer) } else { open_stream(buffer) }
}

fn open_file(buffer: Buffer) -> Result<(SchemaRef, RecordBatches), ArrowError> {
    const TRAILER_BYTES: usize = 10;
    let damaged = || ArrowError::ParseError("its footer is damaged".to_string());
    let end = buffer.len().checked_sub(TRAILER_BYTES).ok_or_else(damaged)?;
    let trailer = buffer[end..].try_into().map_err(|_| damaged())?;
    let start = end.checked_sub(read_footer_length(trailer)?).ok_or_else(damaged)?;
    let footer = root_as_footer(&buffer[start..end]).map_err(|_| damaged())?;
    let schema = Arc::new(fb_to_schema(footer.schema().ok_or_else(damaged)?));
    let mut decoder = FileDecoder::new(schema.clone(), footer.version());
    for block in footer.dictionaries().iter().flatten() {
        decoder.read_dictionary(block, &cut(&buffer, block).ok_or_else(damaged)?)?;
    }
    let blocks: Vec<Block> = footer.recordBatches().iter().flatten().copied().collect();
    let parts = blocks.into_iter().filter_map(move |block| {
        let part = cut(&buffer, &block).ok_or_else(damaged);
        part.and_then(|part| decoder.read_record_batch(&block, &part)).transpose()
    });
    Ok((schema, Box::new(parts)))
}

fn cut(buffer: &Buffer, block: &Block) -> Option<Buffer> {
    let start = usize::try_from(block.offset()).ok()?;
    let body = usize::try_from(block.bodyLength()).ok()?;
    let len = body.checked_add(usize::try_from(block.metaDataLength()).ok()?)?;
    let end = start.checked_add(len)?;
    (end <= buffer.len()).then(|| buffer.slice_with_length(start, len))
}

fn open_stream(mut buffer: Buffer) -> Result<(SchemaRef, RecordBatches), ArrowError> {
    let mut decoder = StreamDecoder::new();
    let first = decoder.decode(&mut buffer)?;
    let missing = || ArrowError::ParseError("it has no schema".to_string());
    let schema = decoder.schema().ok_or_else(missing)?;
    let rest = std::iter::from_fn(move || match decoder.decode(&mut buffer) {
        Ok(None) => decoder.finish().err().map(Err),
        part => part.transpose(),
    });
    Ok((schema, Box::new(first.into_iter().map(Ok).chain(rest))))
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
        let read = guarded(|| parts.next());
        let mut batches = match read {
            Some(Some(Ok(part))) => self.batches(&part),
            Some(None) => {
                self.parts = None;
                vec![]
            }
            failed => {
                self.parts = None;
                let reason = match failed {
                    Some(Some(Err(error))) => broken(&error),
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
