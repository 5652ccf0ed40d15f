//! Rows on standard output.

use std::io::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::LineDelimitedWriter;
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::common::format::DEFAULT_FORMAT_OPTIONS;

use crate::cli::Format;

/// Print `batches` of `schema` to `out`.
pub fn rows(
    out: &mut dyn Write,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: Format,
) -> Result<()> {
    match format {
        Format::Table => {
            let empty = [RecordBatch::new_empty(schema.clone())];
            let shown = if batches.is_empty() { &empty[..] } else { batches };
            let text = pretty_format_batches_with_options(shown, &DEFAULT_FORMAT_OPTIONS)?;
            writeln!(out, "{text}")?;
        }
        Format::Json => {
            let mut writer = LineDelimitedWriter::new(out);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
        }
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().with_header(true).build(out);
            if batches.is_empty() {
                writer.write(&RecordBatch::new_empty(schema.clone()))?;
            }
            batches.iter().try_for_each(|b| writer.write(b))?;
        }
        Format::Arrow => {
            let mut writer = StreamWriter::try_new(out, schema)?;
            batches.iter().try_for_each(|b| writer.write(b))?;
            writer.finish()?;
        }
    }
    Ok(())
}
