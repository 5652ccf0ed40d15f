//! `OVER`. Functions that share PARTITION BY and ORDER BY become one node.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Sort, WindowFunction as LogicalWindowFunction};
use datafusion::logical_expr::{
    Expr as LogicalExpr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};
use engine::plan::{
    AggregateKind, Bound, Frame, FrameUnits, NodeId, Operator, OrderColumn, WindowFunction,
    WindowKind,
};
use schemas::normal::normal_type;

use super::aggregate::{Call, Computed};
use super::{Lowering, Relation};
use crate::error::SqlError;

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Lowering<'_> {
    pub(crate) fn window(&mut self, plan: &Window) -> Result<Relation, SqlError> {
        let input = self.lower(&plan.input)?;
        let output = self.normal(&plan.schema)?;
        let width = input.schema.fields().len();
        // All input columns first, then what the functions read.
        let mut computed = Computed::new(&input);
        for column in input.schema.columns() {
            computed.column(self, &LogicalExpr::Column(column))?;
        }
        let mut groups: Vec<Group> = vec![];
        for (i, expr) in plan.window_expr.iter().enumerate() {
            let expr = expr.clone().unalias_nested().data;
            let LogicalExpr::WindowFunction(function) = &expr else {
                return Err(self.refuse("over", &format!("'{expr}' is no window function"), ""));
            };
            let field = output.field(width + i);
            let (partition, order, lowered) = self.over(function, &mut computed, field)?;
            match groups.iter_mut().find(|g| g.partition == partition && g.order == order) {
                Some(group) => group.functions.push((i, lowered)),
                None => groups.push(Group { partition, order, functions: vec![(i, lowered)] }),
            }
        }
        let extra = computed.len();
        let mut node = computed.push(self)?;
        let mut positions = vec![0; plan.window_expr.len()];
        let mut next = extra;
        for group in groups {
            for (i, _) in &group.functions {
                positions[*i] = next;
                next += 1;
            }
            node = self.window_node(node, group)?;
        }
        let kept: Vec<usize> = (0..width).chain(positions).collect();
        let identity = kept.iter().copied().eq(0..next);
        let node = if identity { node } else { self.pick(node, &kept)? };
        Ok(Relation { node, schema: plan.schema.clone() })
    }

    fn window_node(&mut self, input: NodeId, group: Group) -> Result<NodeId, SqlError> {
        let functions: Vec<WindowFunction> = group.functions.into_iter().map(|(_, f)| f).collect();
        let schema = self.node_schema(input);
        let outputs =
            functions.iter().map(|f| Arc::new(Field::new(&f.name, f.output.clone(), true)));
        let fields: Vec<_> = schema.fields().iter().cloned().chain(outputs).collect();
        let (partition, order) = (group.partition, group.order);
        let operator = Operator::Window { partition, order, derived: vec![], functions };
        self.push(operator, vec![input], Arc::new(Schema::new(fields)))
    }

    fn over(
        &self,
        call: &LogicalWindowFunction,
        computed: &mut Computed<'_>,
        output: &Field,
    ) -> Result<(Vec<usize>, Vec<OrderColumn>, WindowFunction), SqlError> {
        let params = &call.params;
        let name = call.fun.name();
        if params.filter.is_some() || params.distinct {
            let what = format!("FILTER and DISTINCT in {name}() OVER are not maintained yet");
            return Err(self.refuse(name, &what, "put the condition into a CASE argument"));
        }
        let partition = params
            .partition_by
            .iter()
            .map(|e| computed.column(self, e))
            .collect::<Result<_, _>>()?;
        let order: Vec<OrderColumn> =
            params.order_by.iter().map(|s| self.order(s, computed)).collect::<Result<_, _>>()?;
        let (kind, args) = self.window_kind(call, computed, output.name())?;
        let positional = matches!(kind, WindowKind::RowNumber | WindowKind::Lag { .. });
        let frame = match positional {
            true => whole_partition(),
            false => self.frame(&params.window_frame, &order, computed, name)?,
        };
        let (name, output) = (output.name().clone(), output.data_type().clone());
        let function = WindowFunction { name, kind, args, frame, within: vec![], output };
        Ok((partition, order, function))
    }

    fn order(&self, sort: &Sort, computed: &mut Computed<'_>) -> Result<OrderColumn, SqlError> {
        let column = computed.column(self, &sort.expr)?;
        Ok(OrderColumn { column, descending: !sort.asc, nulls_first: sort.nulls_first })
    }

    fn window_kind(
        &self,
        call: &LogicalWindowFunction,
        computed: &mut Computed<'_>,
        output: &str,
    ) -> Result<(WindowKind, Vec<usize>), SqlError> {
        let args = &call.params.args;
        let name = call.fun.name();
        let ignore_nulls =
            call.params.null_treatment.is_some_and(|n| n.to_string().starts_with("IGNORE"));
        if ignore_nulls {
            let what = format!("IGNORE NULLS in {name}() is not maintained yet");
            return Err(self.refuse("ignore nulls", &what, "filter the nulls out first"));
        }
        if let WindowFunctionDefinition::AggregateUDF(function) = &call.fun {
            self.check_windowed(function.name(), call.params.window_frame.units)?;
            match (function.name(), args.as_slice()) {
                ("min", [a]) => return Ok((WindowKind::Min, vec![computed.column(self, a)?])),
                ("max", [a]) => return Ok((WindowKind::Max, vec![computed.column(self, a)?])),
                ("first_value", [a]) => {
                    return Ok((WindowKind::FirstValue, vec![computed.column(self, a)?]));
                }
                ("last_value", [a]) => {
                    return Ok((WindowKind::LastValue, vec![computed.column(self, a)?]));
                }
                _ => {}
            }
            if let Some((kind, arg)) = self.exact(function.name(), args, computed)? {
                let kind = match kind {
                    AggregateKind::Sum => WindowKind::Sum,
                    AggregateKind::Avg => WindowKind::Avg,
                    _ => WindowKind::Count,
                };
                return Ok((kind, arg.into_iter().collect()));
            }
            let call =
                Call { function, args, distinct: false, ignore_nulls: false, descending: false };
            let (function, args) = self.holistic(&call, computed, output)?;
            return Ok((WindowKind::Holistic(function), args));
        }
        let arg = |computed: &mut Computed<'_>, i: usize| computed.column(self, &args[i]);
        match name {
            "row_number" => Ok((WindowKind::RowNumber, vec![])),
            "first_value" => Ok((WindowKind::FirstValue, vec![arg(computed, 0)?])),
            "last_value" => Ok((WindowKind::LastValue, vec![arg(computed, 0)?])),
            "lag" | "lead" => {
                let offset = match args.get(1).and_then(whole) {
                    None if args.len() > 1 => {
                        let what = format!("the offset of {name}() has to be a whole number");
                        return Err(self.refuse(name, &what, "write it out"));
                    }
                    offset => offset.unwrap_or(1),
                };
                let offset = if name == "lag" { offset } else { -offset };
                let mut columns = vec![arg(computed, 0)?];
                if args.len() > 2 {
                    columns.push(arg(computed, 2)?);
                }
                Ok((WindowKind::Lag { offset }, columns))
            }
            other => Err(self.refuse(
                other,
                &format!("{other}() OVER is not maintained yet"),
                "use row_number(), lag(), lead(), first_value(), last_value() or an aggregate",
            )),
        }
    }

    fn check_windowed(&self, name: &str, units: WindowFrameUnits) -> Result<(), SqlError> {
        match name {
            "first_value" | "last_value" => Ok(()),
            // Frames of RANGE see peers together, in no order.
            "nearest_window" if units != WindowFrameUnits::Rows => {
                let what = "nearest_window() goes by the order of rows, which peers do not have";
                Err(self.refuse(name, what, "use ROWS BETWEEN n PRECEDING AND CURRENT ROW"))
            }
            "array_agg" | "string_agg" | "nth_value" => {
                let what = format!("{name}() OVER is not maintained yet");
                Err(self.refuse(name, &what, "use first_value(), last_value(), min() or max()"))
            }
            name if name.starts_with("approx_") => {
                let what =
                    format!("{name}() OVER is a sketch, which no change can be taken out of");
                Err(self.refuse(name, &what, "use median(x) or quantile(x, q)"))
            }
            _ => Ok(()),
        }
    }

    fn frame(
        &self,
        frame: &WindowFrame,
        order: &[OrderColumn],
        computed: &Computed<'_>,
        name: &str,
    ) -> Result<Frame, SqlError> {
        let units = match frame.units {
            WindowFrameUnits::Rows => FrameUnits::Rows,
            WindowFrameUnits::Range => FrameUnits::Range,
            WindowFrameUnits::Groups => {
                let what = "GROUPS frames are not maintained yet";
                return Err(self.refuse("groups", what, "use ROWS or RANGE"));
            }
        };
        // Without an order all rows are peers: the frame is the partition.
        if order.is_empty() && units == FrameUnits::Range {
            return Ok(whole_partition());
        }
        let by = order.first().map(|o| computed.field(o.column).data_type().clone());
        let bound = |b: &WindowFrameBound| -> Result<Bound, SqlError> {
            let (value, sign) = match b {
                WindowFrameBound::CurrentRow => return Ok(Bound::Offset(0)),
                WindowFrameBound::Preceding(v) if v.is_null() => return Ok(Bound::Unbounded),
                WindowFrameBound::Following(v) if v.is_null() => return Ok(Bound::Unbounded),
                WindowFrameBound::Preceding(v) => (v, -1),
                WindowFrameBound::Following(v) => (v, 1),
            };
            let distance = match units {
                FrameUnits::Rows => whole_value(value),
                FrameUnits::Range => by.as_ref().and_then(|t| distance(value, t)),
            };
            distance.map(|d| Bound::Offset(sign * d)).ok_or_else(|| {
                let by = by.as_ref().map_or("nothing".to_string(), ToString::to_string);
                let what = format!("the frame of {name}() goes {value} in an order by {by}");
                let instead = "use INTERVAL of days or shorter over a TIMESTAMP or DATE, \
                               or a whole number over an integer";
                self.refuse("between", &what, instead)
            })
        };
        Ok(Frame { units, start: bound(&frame.start_bound)?, end: bound(&frame.end_bound)? })
    }
}

struct Group {
    partition: Vec<usize>,
    order: Vec<OrderColumn>,
    functions: Vec<(usize, WindowFunction)>,
}

fn whole_partition() -> Frame {
    Frame { units: FrameUnits::Range, start: Bound::Unbounded, end: Bound::Unbounded }
}

fn whole(expr: &LogicalExpr) -> Option<i64> {
    match expr {
        LogicalExpr::Literal(value, _) => whole_value(value),
        LogicalExpr::Negative(inner) => whole(inner).map(|v| -v),
        LogicalExpr::Cast(cast) => whole(&cast.expr),
        _ => None,
    }
}

fn whole_value(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(v)) => v,
        _ => None,
    }
}

/// `value` in units of a column of type `by`, as it is kept: microseconds, days, or whole numbers.
fn distance(value: &ScalarValue, by: &DataType) -> Option<i64> {
    match normal_type(by)? {
        DataType::Timestamp(_, _) => micros(value),
        DataType::Date32 => {
            let micros = micros(value)?;
            (micros % MICROS_PER_DAY == 0).then_some(micros / MICROS_PER_DAY)
        }
        t if t.is_integer() => whole_value(value),
        DataType::Decimal128(p, s) => match value.cast_to(&DataType::Decimal128(p, s)).ok()? {
            ScalarValue::Decimal128(Some(v), _, _) => i64::try_from(v).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// An interval without months.
fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
            let days = i64::from(v.days).checked_mul(MICROS_PER_DAY)?;
            days.checked_add(v.nanoseconds / 1_000)
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            let days = i64::from(v.days).checked_mul(MICROS_PER_DAY)?;
            days.checked_add(i64::from(v.milliseconds) * 1_000)
        }
        ScalarValue::DurationMicrosecond(Some(v)) => Some(*v),
        ScalarValue::DurationNanosecond(Some(v)) => Some(v / 1_000),
        ScalarValue::DurationMillisecond(Some(v)) => v.checked_mul(1_000),
        ScalarValue::DurationSecond(Some(v)) => v.checked_mul(1_000_000),
        _ => None,
    }
}
