//! Plan to dataflow: one straight walk, one call per node.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use schemas::Time;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::{Scope, Stream};

use crate::execute::Event;
use crate::faults::{FAULTS, fault_schema};
use crate::operators::join::Joining;
use crate::operators::map::Mapping;
use crate::operators::{Context, Rendered, Rows};
use crate::operators::{
    accumulate, aggregate, commit, distinct, join, map, output, source, unique, upsert, window,
};
use crate::plan::{Aggregate, AggregateKind, Mode, Node, Operator, Plan, Source};
use crate::ports::{Entry, PortError, Sink, ViewSpec};

/// The tables a plan commits: its outputs, and the faults.
pub fn views(plan: &Plan) -> Vec<ViewSpec> {
    let faults = ViewSpec { name: FAULTS.into(), schema: fault_schema(), time_column: None };
    let view = |o: &crate::plan::Output| ViewSpec {
        name: o.view.clone(),
        schema: plan.nodes()[o.node].schema.clone(),
        time_column: o.time_column,
    };
    plan.outputs().iter().map(view).chain([faults]).collect()
}

/// Where a rendered dataflow ends.
pub(crate) struct Ends<'a> {
    pub sink: &'a dyn Sink,
    pub epoch: Time,
    pub committed: Rc<Cell<Option<Time>>>,
    pub on_event: Rc<dyn Fn(Event)>,
}

/// Build the whole dataflow in `scope`.
pub(crate) fn render<'s>(
    scope: Scope<'s, Time>,
    plan: &Plan,
    entries: Stream<'s, Time, Vec<Entry>>,
    ends: &Ends<'_>,
    context: &Context,
) -> Result<(), PortError> {
    let mut walk =
        Walk { plan, entries, context, files: HashMap::new(), faults: vec![], nodes: vec![] };
    for node in plan.nodes() {
        let rendered = walk.node(node)?;
        walk.faults.extend(rendered.faults);
        walk.nodes.push(rendered.rows);
    }
    let Walk { nodes, faults, .. } = walk;
    let outputs = plan.outputs().iter().map(|o| nodes[o.node].clone());
    let faults = scope.concatenate(faults);
    let mut staged = vec![];
    for (rows, view) in outputs.chain([faults]).zip(views(plan)) {
        let writer = ends.sink.writer(&view, context.worker)?;
        staged.push(output::stage(rows, view, writer, ends.epoch, context));
    }
    let committer = match context.worker.index {
        0 => Some(ends.sink.committer(&views(plan))?),
        _ => None,
    };
    let staged = scope.concatenate(staged);
    let (committed, on_event) = (ends.committed.clone(), ends.on_event.clone());
    commit::render(staged, committer, ends.epoch, committed, on_event, context);
    Ok(())
}

struct Walk<'s, 'a> {
    plan: &'a Plan,
    entries: Stream<'s, Time, Vec<Entry>>,
    context: &'a Context,
    /// Sources already read, by name: current rows and history share one reading.
    files: HashMap<String, Rows<'s>>,
    faults: Vec<Rows<'s>>,
    nodes: Vec<Rows<'s>>,
}

impl<'s> Walk<'s, '_> {
    fn node(&mut self, node: &Node) -> Result<Rendered<'s>, PortError> {
        let input = |i: usize| self.nodes[node.inputs[i]].clone();
        let schema = |i: usize| self.plan.nodes()[node.inputs[i]].schema.clone();
        Ok(match &node.operator {
            Operator::Source(source) => self.source(source, node),
            Operator::Map { predicate, columns } => map::render(
                input(0),
                Mapping {
                    view: node.view.clone(),
                    input: schema(0),
                    output: node.schema.clone(),
                    predicate: predicate.clone(),
                    columns: columns.clone(),
                },
            ),
            Operator::Union => {
                let all: Vec<_> = (0..node.inputs.len()).map(input).collect();
                Rendered::clean(all[0].scope().concatenate(all))
            }
            Operator::Distinct => distinct::render(input(0), node.schema.fields().len()),
            Operator::Aggregate { keys, aggregates } => {
                let holistic = |a: &Aggregate| matches!(a.function, AggregateKind::Holistic(_));
                let (rows, context) = (input(0), self.context);
                match keys.is_empty() || aggregates.iter().any(holistic) {
                    true => {
                        aggregate::render(rows, keys, aggregates, &schema(0), &node.view, context)
                    }
                    false => {
                        accumulate::render(rows, keys, aggregates, &schema(0), &node.view, context)?
                    }
                }
            }
            Operator::Join { kind, on, null_equals_null } => {
                let joining = Joining {
                    kind: *kind,
                    on: on.clone(),
                    null_equals_null: *null_equals_null,
                    left: schema(0),
                    right: schema(1),
                };
                join::render(input(0), input(1), joining)
            }
            Operator::Window { .. } => window::render(input(0), &schema(0), node, self.context)?,
        })
    }

    fn source(&mut self, source: &Source, node: &Node) -> Rendered<'s> {
        let files = match self.files.get(&source.name) {
            Some(files) => files.clone(),
            None => {
                let read = source::read(self.entries.clone(), source, self.context);
                self.faults.extend(read.faults);
                self.files.insert(source.name.clone(), read.rows.clone());
                read.rows
            }
        };
        match &source.mode {
            Mode::Upsert(upsert) if !source.history => {
                Rendered::clean(upsert::render(files, upsert, &node.schema, self.context))
            }
            _ => match &source.unique {
                Some(key) => unique::render(files, &source.name, key, &node.schema, self.context),
                None => Rendered::clean(files),
            },
        }
    }
}
