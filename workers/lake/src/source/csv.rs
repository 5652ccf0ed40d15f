//! CSV: a header with the columns' names, then one record per row; `,` between fields, `"` around
//! fields that hold a comma, a quote (twice) or a line break.
//!
//! Values are text until they are cast to the declared type. A field without a character is null,
//! quoted or not.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use bytes::Bytes;
use csv::{ByteRecord, Reader, ReaderBuilder};
use engine::ports::{Fault, FileBatch};

use super::compression::text;
use super::convert::{declared, quoted};
use super::reader::{BATCH_ROWS, Reading};
use super::{Batches, FileFormat, Partition};

/// Comma-separated values.
#[derive(Debug)]
pub(crate) struct Csv;

impl FileFormat for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".csv"]
    }

    fn is_text(&self) -> bool {
        true
    }

    fn is_whole(&self, _head: &[u8], tail: &[u8]) -> bool {
        tail.ends_with(b"\n")
    }

    fn read(&self, reading: Reading, partition: Partition, bytes: Bytes) -> Batches {
        match Records::open(reading.clone(), partition, bytes) {
            Ok(mut records) => Box::new(std::iter::from_fn(move || records.batch())),
            Err(first) => Box::new(std::iter::once(first)),
        }
    }
}

struct Records {
    reading: Reading,
    partition: Partition,
    /// `None` at the end.
    reader: Option<Reader<Box<dyn BufRead>>>,
    /// Fields of the header.
    width: usize,
    /// Where each declared column is in a record.
    places: Vec<Option<usize>>,
    /// Of the file as a whole, handed out with the first batch.
    faults: Vec<Fault>,
    next_row: u64,
}

impl Records {
    /// Read the header; the file's only batch if no row can be read.
    fn open(reading: Reading, partition: Partition, bytes: Bytes) -> Result<Records, FileBatch> {
        let broken = |reason: String| reading.only(reading.fault(None, "", reason));
        let text = text(&reading.path, bytes).map_err(broken)?;
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let mut header = ByteRecord::new();
        match reader.read_byte_record(&mut header) {
            Ok(true) => {}
            Ok(false) => return Err(broken("has no header with the columns' names".into())),
            Err(e) => return Err(broken(format!("has no header: {e}"))),
        }
        let names: Vec<String> = header.iter().map(name).collect();
        let columns: Vec<_> = names.iter().map(|n| (n.as_str(), None)).collect();
        let shape = reading.shape(&columns, &partition);
        if shape.refused {
            return Err(shape.only(&reading));
        }
        let fields = reading.declared.fields().iter();
        let places = fields.map(|f| names.iter().position(|n| n == f.name())).collect();
        let (width, faults) = (names.len(), shape.faults);
        Ok(Records { reading, partition, reader: Some(reader), width, places, faults, next_row: 0 })
    }

    fn batch(&mut self) -> Option<FileBatch> {
        let mut reader = self.reader.take()?;
        let mut builders: Vec<StringBuilder> =
            self.places.iter().map(|_| StringBuilder::new()).collect();
        let (mut faults, mut broken) = (std::mem::take(&mut self.faults), vec![]);
        let first = self.next_row;
        let mut rows = 0;
        let mut record = ByteRecord::new();
        while rows < BATCH_ROWS {
            match reader.read_byte_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {}
                Err(error) => {
                    faults.push(self.reading.fault(None, "", format!("cannot be read: {error}")));
                    break;
                }
            }
            if let Err((column, reason)) = self.append(&record, &mut builders) {
                broken.push(rows);
                faults.push(self.reading.fault(Some(first + rows as u64), &column, reason));
            }
            rows += 1;
        }
        if rows == 0 && faults.is_empty() {
            return None;
        }
        if rows == BATCH_ROWS {
            self.reader = Some(reader);
        }
        self.next_row += rows as u64;
        let fields = self.reading.declared.fields().iter();
        let columns: HashMap<String, ArrayRef> = fields
            .zip(&mut builders)
            .zip(&self.places)
            .filter(|(_, place)| place.is_some())
            .map(|((f, b), _)| (f.name().clone(), Arc::new(b.finish()) as ArrayRef))
            .collect();
        let mut batch = declared(&self.reading, &columns, &self.partition, rows, first, &broken);
        batch.faults.extend(faults);
        Some(batch)
    }

    /// One value, or a null in the place of a broken row, for each builder.
    ///
    /// # Errors
    /// Column and reason.
    fn append(
        &self,
        record: &ByteRecord,
        builders: &mut [StringBuilder],
    ) -> Result<(), (String, String)> {
        let whole = record.len() == self.width;
        let mut result = match whole {
            true => Ok(()),
            false => {
                let fields = record.iter().map(String::from_utf8_lossy).collect::<Vec<_>>();
                let line = fields.join(",");
                let (n, width) = (record.len(), self.width);
                let reason = format!("has {n} fields, but the header {width}: {}", quoted(&line));
                Err((String::new(), reason))
            }
        };
        for (i, (place, builder)) in self.places.iter().zip(builders).enumerate() {
            let field = place.filter(|_| whole).and_then(|p| record.get(p));
            match field.filter(|f| !f.is_empty()).map(std::str::from_utf8) {
                None => builder.append_null(),
                Some(Ok(text)) => builder.append_value(text),
                Some(Err(_)) => {
                    builder.append_null();
                    let shown = quoted(&String::from_utf8_lossy(field.unwrap_or_default()));
                    let column = self.reading.declared.field(i).name().clone();
                    result = Err((column, format!("{shown} is no UTF-8")));
                }
            }
        }
        result
    }
}

/// A column's name in the header. Some programs begin a file with a byte order mark.
fn name(field: &[u8]) -> String {
    let field = field.strip_prefix("\u{feff}".as_bytes()).unwrap_or(field);
    String::from_utf8_lossy(field).trim().to_string()
}
