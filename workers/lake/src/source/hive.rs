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
    for (name, value) in folders(&reading.path) {
        let Ok(field) = reading.declared.field_with_name(&name) else { continue };
        let text = StringArray::from(vec![value.as_deref()]);
        let wrong = |reason: String| reading.fault(None, &name, reason);
        let cast = strict_cast(&(std::sync::Arc::new(text) as ArrayRef), field.data_type());
        let (column, bad) = cast.map_err(|e| wrong(e.to_string()))?;
        if !bad.is_empty() {
            let value = value.unwrap_or_default();
            return Err(wrong(format!("folder value '{value}' is no {}", field.data_type())));
        }
        columns.insert(name, column);
    }
    Ok(columns)
}

/// The names and values in the folders of `path`, in its order.
pub(crate) fn folders(path: &str) -> impl Iterator<Item = (String, Option<String>)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(|f| f.split_once('=')).map(|(name, value)| {
        let value = decode(value);
        (name.to_string(), (value != NULL).then_some(value))
    })
}

/// `%3A` and the like.
pub(crate) fn decode(text: &str) -> String {
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
