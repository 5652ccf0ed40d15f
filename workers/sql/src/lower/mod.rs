//! Views to a plan. Everything that is not maintained is refused here.

mod aggregate;
mod currency;
mod expr;
mod join;
mod window;

pub use currency::mixed_currencies;
pub(crate) use expr::physical;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    Distinct, Expr as LogicalExpr, ExprSchemable, LogicalPlan, TableScan, Volatility,
};
use engine::history_schema;
use engine::plan::{Expr, InvalidNode, Mode, Node, NodeId, Operator, Output, Plan, Source};
use engine::rewrite::rewrite;
use schemas::normal::normal_schema;

use crate::catalog::{Catalog, ViewDef, nullable};
use crate::error::{Place, SqlError, SqlErrorKind};
use crate::session::planning_session;

/// One plan that keeps all materialized views of `catalog`, and the history of every upserted
/// source.
///
/// # Errors
/// What is not maintained, with its place, the reason, and what to write instead.
pub fn lower(catalog: &Catalog) -> Result<Plan, SqlError> {
    let state = planning_session();
    let mut lowering =
        Lowering { catalog, state, plan: Plan::default(), named: HashMap::new(), view: None };
    for view in catalog.views().iter().filter(|v| v.materialized) {
        let node = lowering.named(&view.name)?;
        let (view, time_column) = (view.name.clone(), view.time_column);
        lowering.plan.output(Output { view, node, time_column }).map_err(bug)?;
    }
    for source in catalog.sources().filter(|s| matches!(s.mode, Mode::Upsert(_))) {
        let view = format!("{}_history", source.name);
        let node = lowering.named(&view)?;
        let time_column = source.event_time;
        lowering.plan.output(Output { view, node, time_column }).map_err(bug)?;
    }
    rewrite(&lowering.plan).map_err(bug)
}

fn bug(error: InvalidNode) -> SqlError {
    SqlError::new(SqlErrorKind::Invalid, format!("lowering made an invalid plan: {error}"))
}

/// A lowered relation: its node, and the schema DataFusion gave it (declared types).
pub(crate) struct Relation {
    pub node: NodeId,
    pub schema: Arc<DFSchema>,
}

pub(crate) struct Lowering<'a> {
    catalog: &'a Catalog,
    state: SessionState,
    plan: Plan,
    /// Sources, histories and views already lowered.
    named: HashMap<String, NodeId>,
    /// The view being lowered.
    view: Option<&'a ViewDef>,
}

impl<'a> Lowering<'a> {
    /// The node of a source, a source's history, or a view.
    fn named(&mut self, name: &str) -> Result<NodeId, SqlError> {
        if let Some(node) = self.named.get(name) {
            return Ok(*node);
        }
        let node = match self.catalog.view(name) {
            Some(view) => self.view(view)?,
            None => self.source(name)?,
        };
        self.named.insert(name.to_string(), node);
        Ok(node)
    }

    fn source(&mut self, name: &str) -> Result<NodeId, SqlError> {
        let direct = self.catalog.source(name);
        let history = name.strip_suffix("_history").and_then(|s| self.catalog.source(s));
        let Some(def) = direct.or(history) else {
            return Err(SqlError::new(SqlErrorKind::Invalid, format!("no source '{name}'")));
        };
        let history = direct.is_none();
        let schema = if history { history_schema(&def.schema) } else { def.schema.clone() };
        // Readers see to NOT NULL; further on, a LEFT JOIN makes nulls of any column.
        let schema = nullable(&schema);
        let operator = Operator::Source(Source {
            name: def.name.clone(),
            mode: def.mode.clone(),
            history,
            unique: def.unique.clone(),
        });
        let view = self.view.map_or_else(|| name.to_string(), |v| v.name.clone());
        self.plan.push(Node { operator, inputs: vec![], schema, view }).map_err(bug)
    }

    fn view(&mut self, view: &'a ViewDef) -> Result<NodeId, SqlError> {
        let outer = self.view.replace(view);
        let within = |e: SqlError| e.within(&view.statement.origin, view.view.query_place);
        refuse_unstable(&view.plan).map_err(|e| placed(e).unwrap_or_else(within))?;
        self.refuse_mixed_currencies(&view.plan)?;
        let optimized = self.state.optimize(&view.plan).map_err(|e| within(e.into()))?;
        let lowered = self.lower(&optimized);
        let relation = lowered.map_err(|e| placed(e).unwrap_or_else(within))?;
        self.view = outer;
        Ok(relation.node)
    }

    /// Add a node of the view being lowered.
    pub(crate) fn push(
        &mut self,
        operator: Operator,
        inputs: Vec<NodeId>,
        schema: SchemaRef,
    ) -> Result<NodeId, SqlError> {
        let view = self.view.map(|v| v.name.clone()).unwrap_or_default();
        self.plan.push(Node { operator, inputs, schema, view }).map_err(bug)
    }

    pub(crate) fn node_schema(&self, node: NodeId) -> SchemaRef {
        self.plan.nodes()[node].schema.clone()
    }

    /// `what` is not maintained; it stands near `word` in the view's text.
    pub(crate) fn refuse(&self, word: &str, what: &str, instead: &str) -> SqlError {
        let error = SqlError::unsupported(what, instead);
        let Some(view) = self.view else { return error };
        let text = &view.view.query;
        let found = text.to_lowercase().find(&word.to_lowercase());
        let place = found.map(|at| {
            let before = &text[..at];
            let line = before.matches('\n').count() as u64 + 1;
            let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) as u64 + 1;
            Place { line, column }
        });
        match place {
            None => error.within(&view.statement.origin, view.view.query_place),
            Some(place) => {
                error.at("", place).within(&view.statement.origin, view.view.query_place)
            }
        }
    }

    /// Lower `plan` and everything below it.
    pub(crate) fn lower(&mut self, plan: &LogicalPlan) -> Result<Relation, SqlError> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                let node = self.lower(&alias.input)?.node;
                Ok(Relation { node, schema: alias.schema.clone() })
            }
            // Views are multisets; without a limit an order says nothing.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.lower(&sort.input),
            LogicalPlan::Filter(filter) => {
                let input = self.lower(&filter.input)?;
                self.map(&input, Some(&filter.predicate), None, filter.input.schema().clone())
            }
            LogicalPlan::Projection(projection) => match projection.input.as_ref() {
                LogicalPlan::Filter(filter) => {
                    let input = self.lower(&filter.input)?;
                    let predicate = Some(&filter.predicate);
                    self.map(&input, predicate, Some(&projection.expr), projection.schema.clone())
                }
                input => {
                    let input = self.lower(input)?;
                    self.map(&input, None, Some(&projection.expr), projection.schema.clone())
                }
            },
            LogicalPlan::Union(union) => self.union(&union.inputs, union.schema.clone()),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Relation { node, schema } = self.lower(input)?;
                let node = self.push(Operator::Distinct, vec![node], self.node_schema(node))?;
                Ok(Relation { node, schema })
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Window(window) => self.window(window),
            other => Err(self.unsupported_node(other)),
        }
    }

    fn unsupported_node(&self, plan: &LogicalPlan) -> SqlError {
        match plan {
            LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => self.refuse(
                "limit",
                "LIMIT is not maintained yet",
                "keep all rows in the view, and say ORDER BY … LIMIT when you query it",
            ),
            LogicalPlan::Distinct(_) => self.refuse(
                "distinct",
                "DISTINCT ON is not maintained yet",
                "use row_number() OVER (PARTITION BY … ORDER BY …) and keep row 1",
            ),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                self.refuse("select", "a view of constants never changes", "select FROM a source")
            }
            LogicalPlan::RecursiveQuery(_) => self.refuse(
                "recursive",
                "recursive queries are not maintained yet",
                "write the levels out with joins",
            ),
            LogicalPlan::Unnest(_) => {
                self.refuse("unnest", "unnest is not maintained yet", "flatten the files instead")
            }
            other => {
                let name = other.display().to_string();
                let name = name.split([':', ' ']).next().unwrap_or_default().to_string();
                self.refuse("select", &format!("{name} is not maintained yet"), "leave it out")
            }
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Relation, SqlError> {
        let base = self.named(scan.table_name.table())?;
        let schema = scan.projected_schema.clone();
        let all: Vec<usize> = (0..self.node_schema(base).fields().len()).collect();
        let columns = scan.projection.clone().unwrap_or_else(|| all.clone());
        let node = if columns == all { base } else { self.pick(base, &columns)? };
        Ok(Relation { node, schema })
    }

    /// Only these columns of `node`.
    pub(crate) fn pick(&mut self, node: NodeId, columns: &[usize]) -> Result<NodeId, SqlError> {
        let input = self.node_schema(node);
        let schema = input.project(columns).map_err(|e| {
            SqlError::new(SqlErrorKind::Invalid, format!("columns {columns:?}: {e}"))
        })?;
        let columns = columns.iter().map(|c| expr::column(&input, *c)).collect();
        self.push(Operator::Map { predicate: None, columns }, vec![node], Arc::new(schema))
    }

    /// Filter and project. Without `columns`, all of the input's stay.
    fn map(
        &mut self,
        input: &Relation,
        predicate: Option<&LogicalExpr>,
        columns: Option<&[LogicalExpr]>,
        output: Arc<DFSchema>,
    ) -> Result<Relation, SqlError> {
        let predicate = predicate.map(|p| self.physical(p, input)).transpose()?;
        let inputs = self.node_schema(input.node);
        let columns: Vec<Expr> = match columns {
            Some(columns) => {
                columns.iter().map(|c| self.physical(c, input)).collect::<Result<_, _>>()?
            }
            None => (0..inputs.fields().len()).map(|c| expr::column(&inputs, c)).collect(),
        };
        let schema = self.normal(&output)?;
        let node = self.push(Operator::Map { predicate, columns }, vec![input.node], schema)?;
        Ok(Relation { node, schema: output })
    }

    pub(crate) fn normal(&self, schema: &DFSchema) -> Result<SchemaRef, SqlError> {
        normal_schema(schema.as_arrow()).map(Arc::new).map_err(|column| {
            let what = format!("column '{column}' has a type that cannot be kept in state");
            self.refuse(&column, &what, "CAST it to a plain type")
        })
    }

    /// The physical form of `expr` over the rows of `input`.
    pub(crate) fn physical(&self, expr: &LogicalExpr, input: &Relation) -> Result<Expr, SqlError> {
        self.refuse_subqueries(expr)?;
        expr::physical(&self.state, expr, &input.schema, &self.node_schema(input.node))
    }

    fn refuse_subqueries(&self, expr: &LogicalExpr) -> Result<(), SqlError> {
        let mut found = None;
        expr.apply(|e| {
            found = match e {
                LogicalExpr::InSubquery(_) | LogicalExpr::Exists(_) => Some((
                    "select",
                    "IN (SELECT …) and EXISTS are not maintained yet",
                    "JOIN (SELECT DISTINCT key FROM …) USING (key)",
                )),
                LogicalExpr::ScalarSubquery(_) => Some((
                    "select",
                    "a subquery as a value is not maintained yet",
                    "JOIN the subquery on a key",
                )),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            Ok(TreeNodeRecursion::Stop)
        })?;
        match found {
            None => Ok(()),
            Some((word, what, instead)) => Err(self.refuse(word, what, instead)),
        }
    }

    fn union(
        &mut self,
        inputs: &[Arc<LogicalPlan>],
        output: Arc<DFSchema>,
    ) -> Result<Relation, SqlError> {
        let schema = self.normal(&output)?;
        let mut nodes = vec![];
        for input in inputs {
            let relation = self.lower(input)?;
            let types = |s: &SchemaRef| -> Vec<DataType> {
                s.fields().iter().map(|f| f.data_type().clone()).collect()
            };
            if types(&self.node_schema(relation.node)) != types(&schema) {
                let what = "the sides of the union have different types";
                return Err(self.refuse("union", what, "CAST their columns to the same types"));
            }
            nodes.push(relation.node);
        }
        let node = self.push(Operator::Union, nodes, schema)?;
        Ok(Relation { node, schema: output })
    }

    /// The declared type of `expr`.
    pub(crate) fn type_of(
        &self,
        expr: &LogicalExpr,
        schema: &DFSchema,
    ) -> Result<DataType, SqlError> {
        Ok(expr.get_type(schema)?)
    }
}

/// Functions whose value depends on when or how often they are called cannot be kept true.
fn refuse_unstable(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut found: Option<String> = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|e| {
            if let Some(name) = unstable(e)? {
                found.get_or_insert(name);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    refused(found)
}

/// The same for one expression.
pub(crate) fn refuse_unstable_expr(expr: &LogicalExpr) -> Result<(), SqlError> {
    refused(unstable(expr)?)
}

/// The first function in `expr` whose value depends on more than its arguments.
fn unstable(expr: &LogicalExpr) -> Result<Option<String>, DataFusionError> {
    let mut found = None;
    expr.apply(|e| {
        if let LogicalExpr::ScalarFunction(f) = e
            && f.func.signature().volatility != Volatility::Immutable
        {
            found.get_or_insert_with(|| f.func.name().to_string());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn refused(unstable: Option<String>) -> Result<(), SqlError> {
    match unstable {
        None => Ok(()),
        Some(name) => Err(SqlError::unsupported(
            format!("{name}() changes without the lake changing, so no view of it can be kept"),
            format!("say {name}() when you query the view, or use a column such as as_of"),
        )),
    }
}

/// Errors that already know their place stay as they are.
fn placed(error: SqlError) -> Result<SqlError, SqlError> {
    if error.place().is_some() { Ok(error) } else { Err(error) }
}
