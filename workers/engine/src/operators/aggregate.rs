//! `GROUP BY`.
//!
//! Aggregates that can be undone (count, exact sums and means) live in the diff: a row becomes its
//! group's key with a multi-column diff, and consolidation does the adding. State and work grow
//! with groups and changes, not with rows. All other aggregates keep their argument values and run
//! DataFusion's accumulators over the groups that changed, values in canonical order, so that the
//! result is a function of the group's content alone, to the bit.
//!
//! Without keys there is one group that is always there: a phantom row, present only in the last
//! diff column, keeps it.

use std::sync::Arc;

use arrangement::{Evaluate, Evaluated, Groups, Lane, Updates, arrange, reduce};
use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::DataFusionError;
use datafusion_expr::EmitTo;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use schemas::normal::normalize;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::map::split_faults;
use super::{Context, Rendered, Rows, Whole};
use crate::numbers::{mean, narrow, widen};
use crate::plan::{Aggregate, AggregateKind};

/// Render an `Aggregate` node.
pub(crate) fn render<'s>(
    rows: Rows<'s>,
    keys: &[usize],
    aggregates: &[Aggregate],
    input: &SchemaRef,
    view: &str,
    context: &Context,
) -> Rendered<'s> {
    let holistic = aggregates.iter().any(|a| matches!(a.function, AggregateKind::Holistic(_)));
    let shape = Arc::new(Shape::new(keys, aggregates, input, holistic));
    let phantom = keys.is_empty() && context.worker.index == 0;
    let prepared = prepare(rows, shape.clone(), phantom);
    let group: Vec<usize> = (0..keys.len()).collect();
    let arranged = arrange(prepared, &group, "Group");
    let evaluate: Box<dyn Evaluate> = match holistic {
        true => Box::new(Values(shape)),
        false => Box::new(Sums(shape)),
    };
    split_faults(reduce(&arranged, "Aggregate", evaluate), view.to_string(), "aggregate")
}

/// Where each aggregate finds what it needs in the prepared rows.
struct Shape {
    keys: Vec<usize>,
    aggregates: Vec<Aggregate>,
    /// Input columns kept as values (holistic groups only), each once.
    values: Vec<usize>,
    /// Their types.
    types: Vec<DataType>,
    /// Scale of each aggregate's decimal argument, else 0.
    scales: Vec<i8>,
}

impl Shape {
    fn new(keys: &[usize], aggregates: &[Aggregate], input: &SchemaRef, holistic: bool) -> Self {
        let mut values: Vec<usize> = match holistic {
            true => {
                aggregates.iter().flat_map(|a| a.args.iter().copied().chain(a.filter)).collect()
            }
            false => vec![],
        };
        values.sort_unstable();
        values.dedup();
        let scale = |a: &Aggregate| match a.args.first().map(|c| input.field(*c).data_type()) {
            Some(DataType::Decimal128(_, s)) => *s,
            _ => 0,
        };
        Shape {
            keys: keys.to_vec(),
            aggregates: aggregates.to_vec(),
            types: values.iter().map(|c| input.field(*c).data_type().clone()).collect(),
            values,
            scales: aggregates.iter().map(scale).collect(),
        }
    }

    fn global(&self) -> bool {
        self.keys.is_empty()
    }

    /// Position of input column `column` among the kept values.
    fn value(&self, column: usize) -> usize {
        self.values.binary_search(&column).expect("arguments of holistic groups are kept")
    }

    /// Diff columns per aggregate: none, the non-null count, or sum and non-null count.
    fn lanes(aggregate: &Aggregate) -> usize {
        match aggregate.function {
            AggregateKind::Count if aggregate.args.is_empty() && aggregate.filter.is_none() => 0,
            AggregateKind::Count => 1,
            AggregateKind::Sum | AggregateKind::Avg => 2,
            AggregateKind::Holistic(_) => 0,
        }
    }
}

/// Rows become (key columns, kept values) with their diff columns.
fn prepare<'s>(rows: Rows<'s>, shape: Arc<Shape>, mut phantom: bool) -> Rows<'s> {
    let only_sums =
        shape.aggregates.iter().all(|a| !matches!(a.function, AggregateKind::Holistic(_)));
    rows.unary::<Whole, _, _, _>(Pipeline, "Group diffs", move |capability, _| {
        let mut initial = Some(capability);
        move |input, output| {
            input.for_each(|capability, updates| {
                let mut made = prepared(updates, &shape, only_sums);
                if !made.is_empty() {
                    output.session_with_builder(&capability).give_container(&mut made);
                }
            });
            if let Some(capability) = initial.take()
                && std::mem::take(&mut phantom)
            {
                let mut row = phantom_row(&shape, only_sums, *capability.time());
                output.session_with_builder(&capability).give_container(&mut row);
            }
        }
    })
}

fn prepared(updates: &Updates, shape: &Shape, only_sums: bool) -> Updates {
    let n = updates.len();
    let columns = |of: &[usize]| of.iter().map(|c| updates.columns[*c].clone()).collect::<Vec<_>>();
    let mut sums = vec![];
    if only_sums {
        for aggregate in &shape.aggregates {
            sums.extend(partial(aggregate, updates));
        }
    }
    if shape.global() {
        sums.push(Lane::constant(0, n));
    }
    let mut all = columns(&shape.keys);
    all.extend(columns(&shape.values));
    Updates::with_sums(all, updates.times.clone(), updates.count.clone(), sums)
}

/// The diff columns of one aggregate.
fn partial(aggregate: &Aggregate, updates: &Updates) -> Vec<Lane<i128>> {
    let n = updates.len();
    let lanes = Shape::lanes(aggregate);
    if lanes == 0 {
        return vec![];
    }
    let counted = |i: usize| {
        let kept = aggregate.filter.is_none_or(|c| {
            let mask = updates.columns[c].as_boolean();
            mask.is_valid(i) && mask.value(i)
        });
        kept && aggregate.args.first().is_none_or(|c| updates.columns[*c].is_valid(i))
    };
    let weight = |i: usize| if counted(i) { i128::from(updates.count.get(i)) } else { 0 };
    let count = Lane::each((0..n).map(weight).collect());
    if lanes == 1 {
        return vec![count];
    }
    let values = widen(&updates.columns[aggregate.args[0]]).unwrap_or_else(|| vec![0; n]);
    // Modular: what overflows on the way and comes back is exact, and the total is checked.
    let sum = values.iter().zip(count.iter()).map(|(v, w)| v.wrapping_mul(w)).collect();
    vec![Lane::each(sum), count]
}

/// The row that keeps the one group of a global aggregate: in no column but the last diff's.
fn phantom_row(shape: &Shape, only_sums: bool, time: u64) -> Updates {
    let lanes: usize = match only_sums {
        true => shape.aggregates.iter().map(Shape::lanes).sum(),
        false => 0,
    };
    let mut sums = vec![Lane::constant(0, 1); lanes];
    sums.push(Lane::constant(1, 1));
    let columns = shape.types.iter().map(|t| new_null_array(t, 1));
    Updates::with_sums(columns.collect(), Lane::constant(time, 1), Lane::constant(0, 1), sums)
}

/// Output columns, and per group why it has no value.
struct Finished {
    columns: Vec<ArrayRef>,
    reasons: Vec<Option<String>>,
}

impl Finished {
    fn new(groups: usize) -> Self {
        Finished { columns: vec![], reasons: vec![None; groups] }
    }

    fn push(&mut self, name: &str, (column, outside): (ArrayRef, Vec<usize>)) {
        for group in outside {
            self.reasons[group] = Some(format!(
                "{name} is out of the range of {}: cast its argument to a wider type",
                column.data_type()
            ));
        }
        self.columns.push(column);
    }

    /// The groups for which `present` holds, with the fault column.
    fn evaluated(mut self, present: &[bool]) -> Evaluated {
        self.columns.push(Arc::new(StringArray::from(self.reasons)));
        let kept: UInt32Array =
            (0u32..).zip(present).filter(|(_, p)| **p).map(|(i, _)| i).collect::<Vec<_>>().into();
        let one = |c: &ArrayRef| take(c, &kept, None).expect("kept groups exist");
        let columns = self.columns.iter().map(one).collect();
        let mut total = 0;
        let ends = present.iter().map(|p| {
            total += usize::from(*p);
            total
        });
        Evaluated { columns, ends: ends.collect() }
    }
}

/// Groups whose aggregates are all in the diff.
struct Sums(Arc<Shape>);

impl Evaluate for Sums {
    fn evaluate(&mut self, groups: Groups<'_>) -> Evaluated {
        let n = groups.ends.len();
        let mut finished = Finished::new(n);
        let mut lane = 0;
        // Consolidated and without values: one row per group.
        for (aggregate, scale) in self.0.aggregates.iter().zip(&self.0.scales) {
            let count = |i: usize| match Shape::lanes(aggregate) {
                0 => i128::from(groups.counts[i]),
                1 => groups.sums[lane][i],
                _ => groups.sums[lane + 1][i],
            };
            let column = match aggregate.function {
                AggregateKind::Sum => {
                    let sum = |i: usize| (count(i) != 0).then(|| groups.sums[lane][i]);
                    narrow(&(0..n).map(sum).collect::<Vec<_>>(), &aggregate.output)
                }
                AggregateKind::Avg => {
                    let pair = |i: usize| (groups.sums[lane][i], count(i));
                    mean(&(0..n).map(pair).collect::<Vec<_>>(), *scale, &aggregate.output)
                }
                _ => narrow(&(0..n).map(|i| Some(count(i))).collect::<Vec<_>>(), &DataType::Int64),
            };
            finished.push(&aggregate.name, column);
            lane += Shape::lanes(aggregate);
        }
        let global = self.0.global();
        finished.evaluated(&groups.counts.iter().map(|c| global || *c > 0).collect::<Vec<_>>())
    }
}

/// Groups that keep their values.
struct Values(Arc<Shape>);

impl Evaluate for Values {
    fn evaluate(&mut self, groups: Groups<'_>) -> Evaluated {
        let n = groups.ends.len();
        let (mut rows, mut group_of, mut ends) = (vec![], vec![], vec![]);
        let mut start = 0;
        for (group, end) in groups.ends.iter().enumerate() {
            for row in start..*end {
                let copies = usize::try_from(groups.counts[row]).unwrap_or(0);
                rows.extend(std::iter::repeat_n(row as u32, copies));
                group_of.extend(std::iter::repeat_n(group, copies));
            }
            ends.push(rows.len());
            start = *end;
        }
        let rows = UInt32Array::from(rows);
        let one = |c: &ArrayRef| take(c, &rows, None).expect("rows of the group exist");
        let expanded = Expanded { values: groups.values.iter().map(one).collect(), group_of, ends };
        let mut finished = Finished::new(n);
        for (aggregate, scale) in self.0.aggregates.iter().zip(&self.0.scales) {
            let column = expanded.aggregate(&self.0, aggregate, *scale);
            match column {
                Ok(column) => finished.push(&aggregate.name, column),
                Err(error) => finished.fail(aggregate, &error),
            }
        }
        let global = self.0.global();
        let mut last = 0;
        let present: Vec<bool> = expanded
            .ends
            .iter()
            .map(|end| {
                let some = *end > last;
                last = *end;
                global || some
            })
            .collect();
        finished.evaluated(&present)
    }
}

impl Finished {
    /// An accumulator failed: no group of this call has a value.
    fn fail(&mut self, aggregate: &Aggregate, error: &DataFusionError) {
        let n = self.reasons.len();
        self.reasons = vec![Some(format!("{}: {}", aggregate.name, error.strip_backtrace())); n];
        self.columns.push(new_null_array(&aggregate.output, n));
    }
}

/// Group values with each copy of a row written out.
struct Expanded {
    values: Vec<ArrayRef>,
    group_of: Vec<usize>,
    ends: Vec<usize>,
}

impl Expanded {
    fn aggregate(
        &self,
        shape: &Shape,
        aggregate: &Aggregate,
        scale: i8,
    ) -> Result<(ArrayRef, Vec<usize>), DataFusionError> {
        let args: Vec<ArrayRef> =
            aggregate.args.iter().map(|c| self.values[shape.value(*c)].clone()).collect();
        let filter = aggregate.filter.map(|c| self.values[shape.value(c)].clone());
        let counted = |i: usize| {
            let kept = filter.as_ref().is_none_or(|f| {
                let mask = f.as_boolean();
                mask.is_valid(i) && mask.value(i)
            });
            kept && args.first().is_none_or(|a| a.is_valid(i))
        };
        let n = self.ends.len();
        match &aggregate.function {
            AggregateKind::Holistic(function) => {
                let column = self.run(function, &args, filter.as_ref())?;
                let column = normalize(&column)?;
                Ok((arrow::compute::cast(&column, &aggregate.output)?, vec![]))
            }
            kind => {
                let values = args.first().and_then(widen).unwrap_or_default();
                let mut sums = vec![(0i128, 0i128); n];
                for (i, group) in self.group_of.iter().enumerate().filter(|(i, _)| counted(*i)) {
                    let value = values.get(i).copied().unwrap_or(0);
                    sums[*group].0 = sums[*group].0.wrapping_add(value);
                    sums[*group].1 += 1;
                }
                let of =
                    |f: fn(&(i128, i128)) -> Option<i128>| sums.iter().map(f).collect::<Vec<_>>();
                Ok(match kind {
                    AggregateKind::Sum => {
                        narrow(&of(|p| (p.1 != 0).then_some(p.0)), &aggregate.output)
                    }
                    AggregateKind::Avg => mean(&sums, scale, &aggregate.output),
                    _ => narrow(&of(|p| Some(p.1)), &DataType::Int64),
                })
            }
        }
    }

    fn run(
        &self,
        function: &AggregateFunctionExpr,
        args: &[ArrayRef],
        filter: Option<&ArrayRef>,
    ) -> Result<ArrayRef, DataFusionError> {
        let n = self.ends.len();
        if function.groups_accumulator_supported() {
            let mut accumulator = function.create_groups_accumulator()?;
            let mask = filter.map(|f| f.as_boolean());
            accumulator.update_batch(args, &self.group_of, mask, n)?;
            return accumulator.evaluate(EmitTo::All);
        }
        let mut start = 0;
        let mut results = Vec::with_capacity(n);
        for end in &self.ends {
            let part = |a: &ArrayRef| a.slice(start, end - start);
            let mut values: Vec<ArrayRef> = args.iter().map(part).collect();
            if let Some(mask) = filter {
                let mask = part(mask);
                let mask = arrow::compute::prep_null_mask_filter(mask.as_boolean());
                values = values
                    .iter()
                    .map(|v| arrow::compute::filter(v, &mask))
                    .collect::<Result<_, _>>()?;
            }
            let mut accumulator = function.create_accumulator()?;
            accumulator.update_batch(&values)?;
            results.push(accumulator.evaluate()?);
            start = *end;
        }
        datafusion_common::ScalarValue::iter_to_array(results)
    }
}
