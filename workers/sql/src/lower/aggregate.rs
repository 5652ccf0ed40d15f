//! `GROUP BY`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::arrow::compute::SortOptions;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Aggregate as LogicalAggregate, AggregateUDF, Expr as LogicalExpr};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use engine::plan::{Aggregate, AggregateKind, Expr, Operator};
use schemas::normal::normal_type;

use super::{Lowering, Relation};
use crate::error::SqlError;

/// What depends on the order of rows, of which a multiset has none.
const ORDER_SENSITIVE: [&str; 7] = [
    "array_agg",
    "string_agg",
    "first_value",
    "last_value",
    "nth_value",
    "listagg",
    "nearest_window",
];

/// Sketches depend on the order and the split of their input.
const APPROXIMATE: [(&str, &str); 4] = [
    ("approx_distinct", "count(DISTINCT x)"),
    ("approx_median", "median(x)"),
    ("approx_percentile_cont", "quantile(x, q)"),
    ("approx_percentile_cont_with_weight", "quantile(x, q)"),
];

/// Computed input columns of an operator, each expression once.
pub(crate) struct Computed<'r> {
    input: &'r Relation,
    exprs: Vec<LogicalExpr>,
    physical: Vec<Expr>,
    fields: Vec<Field>,
}

impl<'r> Computed<'r> {
    pub(crate) fn new(input: &'r Relation) -> Self {
        Computed { input, exprs: vec![], physical: vec![], fields: vec![] }
    }

    /// The position of `expr`'s value.
    pub(crate) fn column(
        &mut self,
        lowering: &Lowering<'_>,
        expr: &LogicalExpr,
    ) -> Result<usize, SqlError> {
        let expr = expr.clone().unalias_nested().data;
        if let Some(at) = self.exprs.iter().position(|e| *e == expr) {
            return Ok(at);
        }
        let data_type = lowering.type_of(&expr, &self.input.schema)?;
        let normal = normal_type(&data_type).ok_or_else(|| {
            let what = format!("a value of type {data_type} cannot be kept in state");
            lowering.refuse("null", &what, "CAST it to a plain type")
        })?;
        self.physical.push(lowering.physical(&expr, self.input)?);
        self.fields.push(Field::new(expr.schema_name().to_string(), normal, true));
        self.exprs.push(expr);
        Ok(self.exprs.len() - 1)
    }

    /// How many there are so far.
    pub(crate) fn len(&self) -> usize {
        self.exprs.len()
    }

    pub(crate) fn field(&self, i: usize) -> &Field {
        &self.fields[i]
    }

    /// A node with exactly these columns.
    pub(crate) fn push(self, lowering: &mut Lowering<'_>) -> Result<usize, SqlError> {
        let schema = Arc::new(Schema::new(self.fields));
        let operator = Operator::Map { predicate: None, columns: self.physical };
        lowering.push(operator, vec![self.input.node], schema)
    }
}

impl Lowering<'_> {
    pub(crate) fn aggregate(&mut self, plan: &LogicalAggregate) -> Result<Relation, SqlError> {
        let input = self.lower(&plan.input)?;
        let mut computed = Computed::new(&input);
        let mut keys = vec![];
        for expr in &plan.group_expr {
            if matches!(expr, LogicalExpr::GroupingSet(_)) {
                return Err(self.refuse(
                    "group by",
                    "GROUPING SETS, ROLLUP and CUBE are not maintained yet",
                    "write one view per grouping, or UNION ALL of them",
                ));
            }
            keys.push(computed.column(self, expr)?);
        }
        let output = self.normal(&plan.schema)?;
        let mut aggregates = vec![];
        for (i, expr) in plan.aggr_expr.iter().enumerate() {
            let expr = expr.clone().unalias_nested().data;
            let LogicalExpr::AggregateFunction(function) = &expr else {
                let what = format!("aggregate '{expr}' is not maintained yet");
                return Err(self.refuse("group by", &what, "use a plain aggregate function"));
            };
            let field = output.field(keys.len() + i);
            aggregates.push(self.one_aggregate(function, &mut computed, field)?);
        }
        let node = computed.push(self)?;
        let node = self.push(Operator::Aggregate { keys, aggregates }, vec![node], output)?;
        Ok(Relation { node, schema: plan.schema.clone() })
    }

    fn one_aggregate(
        &self,
        function: &AggregateFunction,
        computed: &mut Computed<'_>,
        output: &Field,
    ) -> Result<Aggregate, SqlError> {
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } =
            &function.params;
        let name = function.func.name();
        self.check_aggregate(&function.func, !order_by.is_empty())?;
        let filter = filter.as_ref().map(|f| computed.column(self, f)).transpose()?;
        let mut aggregate = Aggregate {
            name: output.name().clone(),
            function: AggregateKind::Count,
            args: vec![],
            filter,
            output: output.data_type().clone(),
        };
        if !distinct && let Some((kind, arg)) = self.exact(name, args, computed)? {
            aggregate.function = kind;
            aggregate.args = arg.into_iter().collect();
            return Ok(aggregate);
        }
        let call = Call {
            function: &function.func,
            args,
            distinct: *distinct,
            ignore_nulls: null_treatment.is_some_and(|n| n.to_string().starts_with("IGNORE")),
            descending: order_by.first().is_some_and(|s| !s.asc),
        };
        let (function, args) = self.holistic(&call, computed, output.name())?;
        aggregate.function = AggregateKind::Holistic(function);
        aggregate.args = args;
        Ok(aggregate)
    }

    pub(crate) fn check_aggregate(
        &self,
        function: &AggregateUDF,
        ordered: bool,
    ) -> Result<(), SqlError> {
        let name = function.name();
        if let Some((_, instead)) = APPROXIMATE.iter().find(|(n, _)| *n == name) {
            let what = format!("{name} is a sketch, which no change can be taken out of");
            return Err(self.refuse(name, &what, &format!("{instead} is exact")));
        }
        if ORDER_SENSITIVE.contains(&name) {
            let what = format!("{name} depends on the order of rows and is not maintained yet");
            return Err(self.refuse(name, &what, "use min, max or a window function"));
        }
        if ordered && !function.supports_within_group_clause() {
            let what = format!("ORDER BY inside {name} is not maintained yet");
            return Err(self.refuse(name, &what, "leave it out"));
        }
        Ok(())
    }

    /// Count, or an exact sum or mean, with its argument.
    pub(crate) fn exact(
        &self,
        name: &str,
        args: &[LogicalExpr],
        computed: &mut Computed<'_>,
    ) -> Result<Option<(AggregateKind, Option<usize>)>, SqlError> {
        let exact = |t: &DataType| t.is_integer() || matches!(t, DataType::Decimal128(_, _));
        let input = computed.input.schema.clone();
        Ok(match (name, args) {
            ("count", [LogicalExpr::Literal(value, _)]) if !value.is_null() => {
                Some((AggregateKind::Count, None))
            }
            ("count", []) => Some((AggregateKind::Count, None)),
            ("count", [arg]) => Some((AggregateKind::Count, Some(computed.column(self, arg)?))),
            ("sum", [arg]) if exact(&self.type_of(arg, &input)?) => {
                Some((AggregateKind::Sum, Some(computed.column(self, arg)?)))
            }
            ("avg", [arg]) => {
                // DataFusion takes the mean of integers over their floats: take the integers.
                let inner = match arg {
                    LogicalExpr::Cast(cast) if self.type_of(arg, &input)? == DataType::Float64 => {
                        cast.expr.as_ref()
                    }
                    arg => arg,
                };
                match exact(&self.type_of(inner, &input)?) {
                    true => Some((AggregateKind::Avg, Some(computed.column(self, inner)?))),
                    false => None,
                }
            }
            _ => None,
        })
    }

    /// Any other aggregate, as DataFusion runs it, over computed columns.
    pub(crate) fn holistic(
        &self,
        call: &Call<'_>,
        computed: &mut Computed<'_>,
        name: &str,
    ) -> Result<(Arc<AggregateFunctionExpr>, Vec<usize>), SqlError> {
        let mut positions = vec![];
        let mut fields = vec![];
        let mut exprs: Vec<Arc<dyn PhysicalExpr>> = vec![];
        for (i, arg) in call.args.iter().enumerate() {
            let at = computed.column(self, arg)?;
            let field = computed.field(at).clone().with_name(format!("arg{i}"));
            // Parameters such as a quantile's q are read when the accumulator is made.
            exprs.push(match constant(arg) {
                Some(value) => Arc::new(Literal::new(value)),
                None => Arc::new(Column::new(field.name(), i)),
            });
            fields.push(field);
            positions.push(at);
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut builder = AggregateExprBuilder::new(call.function.clone(), exprs.clone())
            .schema(schema)
            .alias(name)
            .with_distinct(call.distinct)
            .with_ignore_nulls(call.ignore_nulls);
        if call.descending
            && let Some(first) = exprs.first()
        {
            let options = SortOptions { descending: true, nulls_first: true };
            builder = builder.order_by(vec![PhysicalSortExpr::new(first.clone(), options)]);
        }
        let aggregate = builder.build()?;
        // Parameters that no run could take are refused here, not by the first row.
        aggregate.create_accumulator()?;
        Ok((Arc::new(aggregate), positions))
    }
}

fn constant(expr: &LogicalExpr) -> Option<ScalarValue> {
    match expr {
        LogicalExpr::Literal(value, _) => Some(value.clone()),
        LogicalExpr::Alias(alias) => constant(&alias.expr),
        LogicalExpr::Cast(cast) => {
            constant(&cast.expr).and_then(|v| v.cast_to(cast.field.data_type()).ok())
        }
        _ => None,
    }
}

/// A call of an aggregate.
pub(crate) struct Call<'a> {
    pub function: &'a Arc<AggregateUDF>,
    pub args: &'a [LogicalExpr],
    pub distinct: bool,
    pub ignore_nulls: bool,
    pub descending: bool,
}
