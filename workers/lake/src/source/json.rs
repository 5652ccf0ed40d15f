//! JSON lines: one object per line.
//!
//! Values keep the text they are written in until they are cast to the declared type, so that a
//! decimal never passes through a float, and an integer written as a string (proto3 JSON) is an
//! integer.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::BufRead;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use bytes::Bytes;
use engine::ports::{Fault, FileBatch};
use serde_json::value::RawValue;

use super::compression::text;
use super::convert::{declared, quoted};
use super::reader::{BATCH_ROWS, Reading};
use super::{Batches, FileFormat, Partition};

/// One JSON object per line. A key that an object lacks is a null.
#[derive(Debug)]
pub(crate) struct JsonLines;

impl FileFormat for JsonLines {
    fn name(&self) -> &'static str {
        "json"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".jsonl", ".ndjson", ".json"]
    }

    fn is_text(&self) -> bool {
        true
    }

    fn is_whole(&self, _head: &[u8], tail: &[u8]) -> bool {
        tail.last().is_none_or(|b| *b == b'\n')
    }

    fn read(&self, reading: Reading, partition: Partition, bytes: Bytes) -> Batches {
        let text = match text(&reading.path, bytes) {
            Ok(text) => text,
            Err(reason) => return reading.broken(reason),
        };
        let unknown = BTreeSet::new();
        let mut lines = Lines { reading, partition, text: Some(text), next_row: 0, unknown };
        Box::new(std::iter::from_fn(move || lines.batch()))
    }
}

struct Lines {
    reading: Reading,
    partition: Partition,
    /// `None` at the end.
    text: Option<Box<dyn BufRead>>,
    next_row: u64,
    /// Undeclared keys already reported.
    unknown: BTreeSet<String>,
}

type Object<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl Lines {
    fn batch(&mut self) -> Option<FileBatch> {
        let mut text = self.text.take()?;
        let fields = self.reading.declared.fields().clone();
        let mut builders: Vec<StringBuilder> =
            fields.iter().map(|_| StringBuilder::new()).collect();
        let (mut faults, mut broken) = (vec![], vec![]);
        let first = self.next_row;
        let mut rows = 0;
        let mut line = vec![];
        while rows < BATCH_ROWS {
            line.clear();
            match text.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    faults.push(self.reading.fault(None, "", format!("cannot be read: {error}")));
                    break;
                }
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            if line.trim_ascii().is_empty() {
                // An empty line is no row, but it counts as one in row numbers: an editor shows it.
                broken.push(rows);
                builders.iter_mut().for_each(StringBuilder::append_null);
                rows += 1;
                continue;
            }
            match serde_json::from_slice::<Object<'_>>(line) {
                Ok(object) => {
                    for (field, builder) in fields.iter().zip(&mut builders) {
                        match object.get(field.name().as_str()).and_then(|v| written(v)) {
                            Some(text) => builder.append_value(text),
                            None => builder.append_null(),
                        }
                    }
                    faults.extend(self.unknown(&object));
                }
                Err(error) => {
                    builders.iter_mut().for_each(StringBuilder::append_null);
                    broken.push(rows);
                    let shown = quoted(&String::from_utf8_lossy(line));
                    let reason = format!("line is no JSON object: {shown}: {error}");
                    faults.push(self.reading.fault(Some(first + rows as u64), "", reason));
                }
            }
            rows += 1;
        }
        if rows == 0 && faults.is_empty() {
            return None;
        }
        if rows == BATCH_ROWS {
            self.text = Some(text);
        }
        self.next_row += rows as u64;
        let columns: HashMap<String, ArrayRef> = fields
            .iter()
            .zip(&mut builders)
            .filter(|(f, _)| !self.partition.contains_key(f.name()))
            .map(|(f, b)| (f.name().clone(), Arc::new(b.finish()) as ArrayRef))
            .collect();
        let mut batch = declared(&self.reading, &columns, &self.partition, rows, first, &broken);
        batch.faults.extend(faults);
        Some(batch)
    }

    /// A fault for each key that no column has, once a file.
    fn unknown(&mut self, object: &Object<'_>) -> Vec<Fault> {
        let declared = |k: &str| self.reading.declared.field_with_name(k).is_ok();
        let new: Vec<String> = object
            .keys()
            .filter(|k| !declared(k) && !self.unknown.contains(k.as_ref()))
            .map(|k| k.to_string())
            .collect();
        let source = self.reading.source.clone();
        let faults = new.iter().map(|key| {
            let reason = format!("is not declared in source '{source}'; it is ignored");
            self.reading.fault(None, key, reason)
        });
        let faults = faults.collect();
        self.unknown.extend(new);
        faults
    }
}

/// The text of a value: a string without its quotes, anything else as it is written; null is none.
fn written(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') => serde_json::from_str::<Cow<'_, str>>(raw).ok(),
        _ => Some(Cow::Borrowed(raw)),
    }
}
