//! Scalar expressions: DataFusion's, over columns in normal types, with arithmetic that fails
//! instead of wrapping.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr as LogicalExpr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column};
use engine::plan::Expr;

use crate::error::SqlError;

/// Column `i` of `schema`.
pub(crate) fn column(schema: &SchemaRef, i: usize) -> Expr {
    Arc::new(Column::new(schema.field(i).name(), i))
}

/// `expr`, which DataFusion typed over `declared`, for rows whose columns are `normal`.
pub(crate) fn physical(
    state: &SessionState,
    expr: &LogicalExpr,
    declared: &DFSchema,
    normal: &SchemaRef,
) -> Result<Expr, SqlError> {
    let expr = state.create_physical_expr(expr.clone(), declared)?;
    let types = declared.as_arrow();
    let rewritten = expr.transform_up(|e| {
        if let Some(column) = e.downcast_ref::<Column>() {
            return Ok(declared_column(column, types, normal));
        }
        if let Some(binary) = e.downcast_ref::<BinaryExpr>()
            && arithmetic(*binary.op())
            && exact(binary, types)
        {
            let strict =
                BinaryExpr::new(binary.left().clone(), *binary.op(), binary.right().clone());
            let strict: Arc<dyn PhysicalExpr> = Arc::new(strict.with_fail_on_overflow(true));
            return Ok(Transformed::yes(strict));
        }
        Ok(Transformed::no(e))
    })?;
    Ok(rewritten.data)
}

/// Expressions were typed over declared types: a column kept in another is cast back.
fn declared_column(
    column: &Column,
    declared: &Schema,
    normal: &SchemaRef,
) -> Transformed<Arc<dyn PhysicalExpr>> {
    let i = column.index();
    let plain: Arc<dyn PhysicalExpr> = Arc::new(Column::new(normal.field(i).name(), i));
    let wanted = declared.field(i).data_type();
    if wanted == normal.field(i).data_type() {
        return Transformed::yes(plain);
    }
    Transformed::yes(Arc::new(CastExpr::new(plain, wanted.clone(), None)))
}

fn arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
}

fn exact(binary: &BinaryExpr, declared: &Schema) -> bool {
    let whole = |e: &Arc<dyn PhysicalExpr>| {
        e.data_type(declared)
            .is_ok_and(|t| t.is_integer() || matches!(t, DataType::Decimal128(_, _)))
    };
    whole(binary.left()) && whole(binary.right())
}
