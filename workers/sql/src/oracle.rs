//! What a view means: DataFusion over whole tables.
//!
//! Each view is computed once, from what it reads, and kept in normal form, as the engine keeps
//! it at the same boundary.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::common::tree_node::Transformed;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, Window, WindowFrameUnits};
use datafusion::prelude::SessionContext;
use engine::history_schema;
use schemas::normal::normalize;

use crate::catalog::{Catalog, ViewDef};
use crate::error::{SqlError, SqlErrorKind};
use crate::session::query_session;

/// Recomputes views of a catalog from the rows of its sources.
pub struct Oracle<'a> {
    catalog: &'a Catalog,
    context: SessionContext,
    done: HashMap<String, Vec<RecordBatch>>,
}

impl<'a> Oracle<'a> {
    /// An oracle that knows no rows yet.
    pub fn new(catalog: &'a Catalog) -> Self {
        Oracle { catalog, context: query_session(), done: HashMap::new() }
    }

    /// The current rows of a source (or `<source>_history`).
    ///
    /// # Errors
    /// Rows that do not have the source's columns.
    pub fn provide(&mut self, name: &str, rows: Vec<RecordBatch>) -> Result<(), SqlError> {
        let direct = self.catalog.source(name).map(|s| s.schema.clone());
        let history = || {
            let source = self.catalog.source(name.strip_suffix("_history")?)?;
            Some(history_schema(&source.schema))
        };
        let schema = direct
            .or_else(history)
            .ok_or_else(|| SqlError::new(SqlErrorKind::Invalid, format!("no source '{name}'")))?;
        self.register(name, &schema, rows)
    }

    fn register(
        &self,
        name: &str,
        schema: &SchemaRef,
        rows: Vec<RecordBatch>,
    ) -> Result<(), SqlError> {
        let fields = schema.fields().iter();
        let fields: Vec<_> = fields.map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let mut retyped = vec![];
        for batch in rows {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            retyped.push(
                RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(
                    |e| SqlError::new(SqlErrorKind::Invalid, format!("rows of '{name}': {e}")),
                )?,
            );
        }
        let table = MemTable::try_new(schema, vec![retyped])?;
        self.context.deregister_table(TableReference::bare(name))?;
        self.context.register_table(TableReference::bare(name), Arc::new(table))?;
        Ok(())
    }

    /// The rows of a view.
    ///
    /// # Errors
    /// What DataFusion says of running it.
    pub async fn rows(&mut self, view: &str) -> Result<Vec<RecordBatch>, SqlError> {
        for view in needed(self.catalog, view)? {
            if self.done.contains_key(&view.name) {
                continue;
            }
            let rows = self.compute(view).await?;
            self.register(&view.name, &view.schema, rows.clone())?;
            self.done.insert(view.name.clone(), rows);
        }
        Ok(self.done.get(view).cloned().unwrap_or_default())
    }

    async fn compute(&self, view: &ViewDef) -> Result<Vec<RecordBatch>, SqlError> {
        let state = self.context.state();
        let plan = state.create_logical_plan(&view.view.query).await?;
        let plan = break_ties(plan)?;
        let batches = DataFrame::new(state, plan).collect().await?;
        batches.iter().map(|b| normal_batch(b, &view.schema)).collect()
    }
}

/// `view` and the views it reads, each after what it reads.
fn needed<'a>(catalog: &'a Catalog, view: &str) -> Result<Vec<&'a ViewDef>, SqlError> {
    let no_view = || SqlError::new(SqlErrorKind::Invalid, format!("no view '{view}'"));
    let mut names = vec![catalog.view(view).ok_or_else(no_view)?.name.clone()];
    let mut found = vec![];
    for def in catalog.views().iter().rev() {
        if names.contains(&def.name) {
            names.extend(def.reads.iter().cloned());
            found.push(def);
        }
    }
    found.reverse();
    Ok(found)
}

fn normal_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    let column = |(c, f): (&ArrayRef, &Arc<arrow::datatypes::Field>)| {
        let normal = normalize(c)?;
        if normal.data_type() == f.data_type() { Ok(normal) } else { cast(&normal, f.data_type()) }
    };
    let made = || {
        let columns = batch.columns().iter().zip(schema.fields()).map(column);
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(
            schema.clone(),
            columns.collect::<Result<_, _>>()?,
            &options,
        )
    };
    made().map_err(|e| SqlError::new(SqlErrorKind::Execution, e.to_string()))
}

/// The engine breaks ties of a window's order by all remaining columns: so does its meaning, where
/// the order of peers shows. (Frames of RANGE see peers together.)
fn break_ties(plan: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let broken = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Window(window) = &node else { return Ok(Transformed::no(node)) };
        let columns = window.input.schema().columns();
        let exprs: Vec<Expr> = window
            .window_expr
            .iter()
            .map(|e| match e {
                Expr::WindowFunction(f) if shows_peers(f) => {
                    let mut f = f.clone();
                    let sorts = columns.iter().map(|c| Expr::Column(c.clone()).sort(true, true));
                    f.params.order_by.extend(sorts.collect::<Vec<Sort>>());
                    Expr::WindowFunction(f).alias(e.schema_name().to_string())
                }
                other => other.clone(),
            })
            .collect();
        let rebuilt = Window::try_new(exprs, window.input.clone())?;
        Ok(Transformed::yes(LogicalPlan::Window(rebuilt)))
    })?;
    Ok(broken.data)
}

fn shows_peers(function: &WindowFunction) -> bool {
    ["row_number", "lag", "lead"].contains(&function.fun.name())
        || function.params.window_frame.units == WindowFrameUnits::Rows
}

/// Run a query that only reads.
///
/// # Errors
/// A statement that writes, reads files or changes settings; whatever DataFusion says.
pub async fn query(context: &SessionContext, sql: &str) -> Result<DataFrame, SqlError> {
    let options =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    Ok(context.sql_with_options(sql, options).await?)
}
