//! Groups whose aggregates can be undone: counts, and sums and means of exact numbers.
//!
//! A worker adds up what it has, groups meet by key, and their worker keeps a few numbers a group.
//! State and work grow with groups and changes, not with rows.

use std::sync::Arc;

use arrangement::{Budget, Lane, Updates};
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use schemas::Time;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::map::split_faults;
use super::{Context, Rendered, Rows, Whole};
use crate::backlog::Backlog;
use crate::groups::{Changed, Groups, Lane64, Layout};
use crate::numbers::{mean, narrow};
use crate::plan::{Aggregate, AggregateKind};
use crate::ports::{PortError, PortErrorKind};

/// Groups a worker adds up before it hands them on.
const PARTIAL_GROUPS: usize = 1 << 17;
/// Rows of a piece of output.
const PIECE_ROWS: usize = 1 << 14;

/// Render an `Aggregate` node with keys, all of whose aggregates can be undone.
pub(crate) fn render<'s>(
    rows: Rows<'s>,
    keys: &[usize],
    aggregates: &[Aggregate],
    input: &SchemaRef,
    view: &str,
    context: &Context,
) -> Result<Rendered<'s>, PortError> {
    let alone = context.worker.peers == 1;
    let layout = Layout::new(aggregates);
    let types: Vec<DataType> = keys.iter().map(|k| input.field(*k).data_type().clone()).collect();
    let failed = failed(view);
    let first: Vec<usize> = (0..keys.len()).collect();
    let scale = |a: &Aggregate| match a.args.first().map(|c| input.field(*c).data_type()) {
        Some(DataType::Decimal128(_, s)) => *s,
        _ => 0,
    };
    let scales = aggregates.iter().map(scale).collect();
    let rows = match alone {
        true => rows,
        false => {
            let groups =
                Groups::new(layout.clone(), keys, &types, &Budget::unlimited()).map_err(&failed)?;
            partial(rows, groups, view, context)
        }
    };
    let own = if alone { keys } else { &first };
    let groups = Groups::new(layout.clone(), own, &types, &context.budget).map_err(&failed)?;
    let totals = Totals { groups, layout, scales, alone, backlog: Backlog::default(), at: None };
    let pact = arrangement::exchange(own.to_vec());
    let scope = rows.scope();
    let failure = context.failure.clone();
    let totalled = rows.unary_frontier::<Whole, _, _, _>(pact, "Total", move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        let mut totals = totals;
        move |(input, frontier), output| {
            input.for_each(|_, updates| totals.backlog.push(std::mem::take(updates)));
            let frontier = frontier.frontier().first().copied();
            let Some(held) = &mut capability else { return };
            match totals.step(frontier) {
                Ok(Some((time, mut changes))) => {
                    held.downgrade(&time);
                    output.session_with_builder(&*held).give_container(&mut changes);
                    // Downstream works this off before the next piece is made.
                    activator.activate();
                    return;
                }
                Ok(None) => {}
                Err(error) => failure.set(failed(error)),
            }
            match frontier {
                Some(f) => held.downgrade(&f),
                None => capability = None,
            }
        }
    });
    Ok(split_faults(totalled, view.to_string(), "aggregate"))
}

fn failed(view: &str) -> impl Fn(ArrowError) -> PortError + use<> {
    let message = format!("view '{view}': its groups cannot be added up");
    move |error| PortError::new(PortErrorKind::Invalid, message.clone()).with_source(error)
}

/// Add up what this worker has of a time, so that fewer rows travel.
fn partial<'s>(rows: Rows<'s>, groups: Groups, view: &str, context: &Context) -> Rows<'s> {
    let (failure, failed) = (context.failure.clone(), failed(view));
    rows.unary_frontier::<Whole, _, _, _>(Pipeline, "Partial", move |capability, _info| {
        let mut capability = Some(capability);
        let mut partial = Partial { groups, backlog: Backlog::default(), at: None };
        move |(input, frontier), output| {
            input.for_each(|_, updates| partial.backlog.push(std::mem::take(updates)));
            let frontier = frontier.frontier().first().copied();
            let Some(held) = &mut capability else { return };
            loop {
                match partial.step(frontier) {
                    Ok(None) => break,
                    Ok(Some((time, mut groups))) => {
                        held.downgrade(&time);
                        output.session_with_builder(&*held).give_container(&mut groups);
                    }
                    Err(error) => {
                        failure.set(failed(error));
                        break;
                    }
                }
            }
            match frontier {
                Some(f) => held.downgrade(&f),
                None => capability = None,
            }
        }
    })
}

/// Groups of one time, on their way to their workers.
struct Partial {
    groups: Groups,
    backlog: Backlog,
    /// The time of what is in `groups`.
    at: Option<Time>,
}

impl Partial {
    /// The next groups that are to leave. Nothing can come before `frontier`: what is at it is
    /// added up while it comes.
    fn step(&mut self, frontier: Option<Time>) -> Result<Option<(Time, Updates)>, ArrowError> {
        loop {
            let next = self.backlog.first().filter(|t| frontier.is_none_or(|f| *t <= f));
            if let Some(time) = self.at
                && next != Some(time)
            {
                if frontier.is_some_and(|f| time >= f) {
                    return Ok(None);
                }
                self.at = None;
                return Ok(Some((time, self.groups.drained(time)?)));
            }
            let Some(time) = next else { return Ok(None) };
            for batch in self.backlog.take(time) {
                self.groups.add_rows(&batch)?;
            }
            self.at = Some(time);
            if self.groups.len() >= PARTIAL_GROUPS {
                self.at = None;
                return Ok(Some((time, self.groups.drained(time)?)));
            }
        }
    }
}

/// The groups of this worker.
struct Totals {
    groups: Groups,
    layout: Layout,
    /// Scale of each aggregate's decimal argument, else 0.
    scales: Vec<i8>,
    /// Rows come as they are, not added up by their worker.
    alone: bool,
    backlog: Backlog,
    /// The time being worked off.
    at: Option<Time>,
}

impl Totals {
    /// The next piece of output of any time before `frontier`. Nothing can come before it: what is
    /// at it is added up while it comes.
    fn step(&mut self, frontier: Option<Time>) -> Result<Option<(Time, Updates)>, ArrowError> {
        loop {
            let first = self.backlog.first().filter(|t| frontier.is_none_or(|f| *t <= f));
            let Some(time) = self.at.or(first) else { return Ok(None) };
            self.at = Some(time);
            for batch in self.backlog.take(time) {
                match self.alone {
                    true => self.groups.add_rows(&batch)?,
                    false => self.groups.add_groups(&batch)?,
                }
            }
            if frontier.is_some_and(|f| time >= f) {
                return Ok(None);
            }
            match self.groups.changes(PIECE_ROWS)? {
                Some(changed) => return Ok(Some((time, self.finished(changed, time)))),
                None => self.at = None,
            }
        }
    }

    /// Keys, aggregates, and why a group has no value.
    fn finished(&self, changed: Changed, time: Time) -> Updates {
        let Changed { keys, diffs, numbers } = changed;
        let rows = diffs.len();
        let mut reasons: Vec<Option<String>> = vec![None; rows];
        let mut columns: Vec<ArrayRef> = keys;
        for (a, aggregate) in self.layout.aggregates.iter().enumerate() {
            let missing = self.layout.missing[a].map(|at| &numbers[at]);
            let count = |i: usize| numbers[0].get(i) - missing.map_or(0, |m| m.get(i));
            let sum = |i: usize| self.layout.sums[a].map_or(0, |at| numbers[at].get(i));
            // As they are, where each is there and fits.
            if let (Some(at), DataType::Int64, AggregateKind::Sum) =
                (self.layout.sums[a], &aggregate.output, &aggregate.function)
                && let Lane64::Longs(longs) = &numbers[at]
                && (0..rows).all(|i| count(i) != 0)
            {
                columns.push(Arc::new(Int64Array::from(longs.clone())));
                continue;
            }
            let (column, outside) = match aggregate.function {
                AggregateKind::Sum => {
                    let sums = (0..rows).map(|i| (count(i) != 0).then(|| sum(i)));
                    narrow(&sums.collect::<Vec<_>>(), &aggregate.output)
                }
                AggregateKind::Avg => {
                    let pairs: Vec<(i128, i128)> = (0..rows).map(|i| (sum(i), count(i))).collect();
                    mean(&pairs, self.scales[a], &aggregate.output)
                }
                _ => {
                    let counts = (0..rows).map(|i| Some(count(i)));
                    narrow(&counts.collect::<Vec<_>>(), &DataType::Int64)
                }
            };
            for row in outside {
                reasons[row] = Some(format!(
                    "{} is out of the range of {}: cast its argument to a wider type",
                    aggregate.name, aggregate.output
                ));
            }
            columns.push(column);
        }
        columns.push(Arc::new(StringArray::from(reasons)));
        Updates::new(columns, Lane::constant(time, rows), Lane::each(diffs))
    }
}
