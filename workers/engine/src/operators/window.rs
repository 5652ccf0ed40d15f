//! `OVER`.
use super::{Context, Rendered, Rows};
use crate::plan::Node;
use crate::ports::PortError;
use arrow::datatypes::SchemaRef;

pub(crate) fn render<'s>(rows: Rows<'s>, _input: &SchemaRef, _node: &Node, _context: &Context) -> Result<Rendered<'s>, PortError> {
    Ok(Rendered::clean(rows))
}
