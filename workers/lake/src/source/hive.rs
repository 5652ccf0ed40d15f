//! Values from folder names: `platform=meta/day=2026-11-01/part-0.parquet`.

use std::collections::HashMap;

use arrow::array::{ArrayRef, StringArray};
use engine::ports::Fault;

use super::convert::strict_cast;
use super::reader::Reading;

/// Hive's name for a null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// One-row columns for the declared columns that the path names, by name.
pub(crate) fn partition(reading: &Reading) -> Result<HashMap<String, ArrayRef>, Fault> {
    let mut columns = HashMap::new();
    let folders = reading.path.rsplit_once('/').map_or("", |(folders, _)| folders);
    for (name, value) in folders.split('/').filter_map(|f| f.split_once('=')) {
        let Ok(field) = reading.declared.field_with_name(name) else { continue };
        let value = decode(value);
        let text = StringArray::from(vec![(value != NULL).then_some(value.as_str())]);
        let wrong = |reason: String| reading.fault(None, name, reason);
        let cast = strict_cast(&(std::sync::Arc::new(text) as ArrayRef), field.data_type());
        let (column, bad) = cast.map_err(|e| wrong(e.to_string()))?;
        if !bad.is_empty() {
            return Err(wrong(format!("folder value '{value}' is no {}", field.data_type())));
        }
        columns.insert(name.to_string(), column);
    }
    Ok(columns)
}

/// `%3A` and the like.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match (first, hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn folder_names_are_decoded() {
        assert_eq!(decode("2026-11-01%2005%3A00"), "2026-11-01 05:00");
        assert_eq!(decode("100%"), "100%");
    }
}
