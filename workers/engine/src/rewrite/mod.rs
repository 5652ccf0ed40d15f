//! Plan to plan: the same rows for less work and less state.
//!
//! No rule moves an expression that can fail across a filter, a join or a window: what faults must
//! not depend on the plan.

mod late;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{CastExpr, Column, Literal};

use crate::plan::{
    Bound, Expr, FrameUnits, InvalidNode, Mode, Node, NodeId, Operator, Plan, WindowFunction,
    WindowKind,
};

/// Scalar functions that give a value for every argument of their types.
const TOTAL_FUNCTIONS: [&str; 2] = ["date_part", "date_trunc"];

/// The column of a `changes` source that is no output.
const DIFF: &str = "_diff";

/// Rewrite `plan` until no rule applies.
///
/// # Errors
/// A rule that makes an invalid plan: a bug.
pub fn rewrite(plan: &Plan) -> Result<Plan, InvalidNode> {
    let mut plan = live(&projected(plan)?)?;
    while let Some(fused) = fuse_windows(&plan)? {
        plan = live(&projected(&fused)?)?;
    }
    // Last: the other rules know windows whose columns are all their input's.
    while let Some(derived) = late::derive(&plan)? {
        plan = live(&projected(&derived)?)?;
    }
    Ok(plan)
}

/// The columns that `plan` reads of its sources, by name. A source that is not there is read whole.
pub fn columns_read(plan: &Plan) -> HashMap<String, BTreeSet<String>> {
    let mut read: HashMap<String, BTreeSet<String>> = HashMap::new();
    let mut whole: BTreeSet<&str> = BTreeSet::new();
    let source = |id: NodeId| match &plan.nodes()[id].operator {
        Operator::Source(source) => Some(source),
        _ => None,
    };
    for (id, node) in plan.nodes().iter().enumerate() {
        for (input, source) in node.inputs.iter().filter_map(|i| source(*i).map(|s| (*i, s))) {
            let Operator::Map { predicate, columns } = &node.operator else {
                whole.insert(&source.name);
                continue;
            };
            let names = read.entry(source.name.clone()).or_default();
            if matches!(source.mode, Mode::Changes { .. }) {
                names.insert(DIFF.to_string());
            }
            for expr in predicate.iter().chain(columns) {
                let schema = &plan.nodes()[input].schema;
                every(expr, |e| {
                    names.extend(bare(e).map(|c| schema.field(c).name().clone()));
                    true
                });
            }
        }
        if let Some(source) = source(id)
            && (source.unique.is_some() || source.history || matches!(source.mode, Mode::Upsert(_)))
        {
            whole.insert(&source.name);
        }
    }
    whole.extend(plan.outputs().iter().filter_map(|o| source(o.node)).map(|s| s.name.as_str()));
    read.retain(|name, _| !whole.contains(name.as_str()));
    read
}

/// Copy `plan`, node by node, as `f` says; it returns where the node's rows are in the copy.
fn copied(
    plan: &Plan,
    mut f: impl FnMut(NodeId, Node, &mut Plan) -> Result<NodeId, InvalidNode>,
) -> Result<Plan, InvalidNode> {
    let mut copy = Plan::default();
    let mut places: Vec<NodeId> = Vec::with_capacity(plan.nodes().len());
    for (id, node) in plan.nodes().iter().enumerate() {
        let mut node = node.clone();
        node.inputs.iter_mut().for_each(|i| *i = places[*i]);
        places.push(f(id, node, &mut copy)?);
    }
    for output in plan.outputs() {
        let mut output = output.clone();
        output.node = places[output.node];
        copy.output(output)?;
    }
    Ok(copy)
}

/// Without nodes that nobody reads.
fn live(plan: &Plan) -> Result<Plan, InvalidNode> {
    let mut needed = vec![false; plan.nodes().len()];
    plan.outputs().iter().for_each(|o| needed[o.node] = true);
    for (id, node) in plan.nodes().iter().enumerate().rev() {
        if needed[id] {
            node.inputs.iter().for_each(|i| needed[*i] = true);
        }
    }
    // A dead node's place is never asked for.
    copied(plan, |id, node, copy| if needed[id] { copy.push(node) } else { Ok(0) })
}

/// The column an expression is, if it is no more.
pub(crate) fn bare(expr: &Expr) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// Columns that a node only picks from its input.
fn picks(node: &Node) -> Option<Vec<usize>> {
    match &node.operator {
        Operator::Map { predicate: None, columns } => columns.iter().map(bare).collect(),
        _ => None,
    }
}

/// `expr` with each column `c` read at `at(c)` instead.
pub(crate) fn moved(expr: &Expr, schema: &SchemaRef, at: impl Fn(usize) -> usize) -> Expr {
    let one = |e: Expr| {
        Ok(match bare(&e) {
            None => Transformed::no(e),
            Some(c) => Transformed::yes(column(schema, at(c))),
        })
    };
    let moved = Arc::clone(expr).transform_up(one);
    moved.map_or_else(|_| Arc::clone(expr), |t| t.data)
}

fn column(schema: &SchemaRef, at: usize) -> Expr {
    Arc::new(Column::new(schema.field(at).name(), at))
}

/// A map that reads a map which only picks columns reads through it.
fn projected(plan: &Plan) -> Result<Plan, InvalidNode> {
    copied(plan, |_, mut node, copy| {
        if let Operator::Map { predicate, columns } = &mut node.operator
            && let Some(picked) = picks(&copy.nodes()[node.inputs[0]])
        {
            let below = copy.nodes()[node.inputs[0]].inputs[0];
            let schema = copy.nodes()[below].schema.clone();
            for expr in predicate.iter_mut().chain(columns) {
                *expr = moved(expr, &schema, |c| picked[c]);
            }
            node.inputs = vec![below];
        }
        copy.push(node)
    })
}

/// The first pair of stacked windows over the same rows in the same order, of which one divides
/// the other's partitions, becomes one window: one state, one pass. `None` if there is none.
fn fuse_windows(plan: &Plan) -> Result<Option<Plan>, InvalidNode> {
    let mut readers = vec![0; plan.nodes().len()];
    for node in plan.nodes() {
        node.inputs.iter().for_each(|i| readers[*i] += 1);
    }
    plan.outputs().iter().for_each(|o| readers[o.node] += 1);
    let found = (0..plan.nodes().len()).find_map(|id| Stack::at(plan, id, &readers));
    let Some(stack) = found else { return Ok(None) };
    let upper = stack.upper;
    let fused = copied(plan, |id, node, copy| match id == upper {
        true => stack.fused(plan, copy),
        false => copy.push(node),
    })?;
    Ok(Some(fused))
}

/// A window over a window.
struct Stack {
    upper: NodeId,
    /// The lower window's input.
    input: NodeId,
    /// What the map between them computes from that input, beside it.
    extra: Vec<(Expr, Arc<Field>)>,
    /// Where each column of the upper window's input is: among the fused window's columns.
    places: Vec<usize>,
    partition: Vec<usize>,
    functions: Vec<WindowFunction>,
}

impl Stack {
    fn at(plan: &Plan, upper: NodeId, readers: &[usize]) -> Option<Stack> {
        let node = &plan.nodes()[upper];
        let Operator::Window { partition, order, functions, .. } = &node.operator else {
            return None;
        };
        let (between, lower) = between(plan, node.inputs[0], readers)?;
        let Operator::Window {
            partition: theirs,
            order: their_order,
            functions: their_functions,
            ..
        } = &plan.nodes()[lower].operator
        else {
            return None;
        };
        let input = plan.nodes()[lower].inputs[0];
        let width = plan.nodes()[input].schema.fields().len();
        let (extra, places) = place(plan, &between, lower, width)?;
        // Columns of the fused window's input: the lower's, then the extra ones.
        let below = width + extra.len();
        let at = |c: &usize| places.get(*c).copied().filter(|p| *p < below);
        let mut order = order.clone();
        for o in &mut order {
            o.column = at(&o.column)?;
        }
        let ours: Vec<usize> = partition.iter().map(at).collect::<Option<_>>()?;
        if order != *their_order {
            return None;
        }
        let mut own = functions.clone();
        for f in &mut own {
            f.args = f.args.iter().map(at).collect::<Option<_>>()?;
            f.within = f.within.iter().map(at).collect::<Option<_>>()?;
        }
        let mut theirs_too = their_functions.clone();
        let rest = |of: &[usize], without: &[usize]| -> Vec<usize> {
            of.iter().copied().filter(|c| !without.contains(c)).collect()
        };
        let partition = if theirs.iter().all(|c| ours.contains(c)) {
            divide(&mut own, &rest(&ours, theirs))?;
            theirs.clone()
        } else if ours.iter().all(|c| theirs.contains(c)) {
            divide(&mut theirs_too, &rest(theirs, &ours))?;
            ours
        } else {
            return None;
        };
        theirs_too.extend(own);
        Some(Stack { upper, input, extra, places, partition, functions: theirs_too })
    }

    fn fused(&self, plan: &Plan, copy: &mut Plan) -> Result<NodeId, InvalidNode> {
        let upper = &plan.nodes()[self.upper];
        let Operator::Window { order, .. } = &upper.operator else {
            return copy.push(upper.clone());
        };
        // Inputs before the upper window have the same places in the copy.
        let input = plan.nodes()[self.input].schema.clone();
        let width = input.fields().len();
        let mut columns: Vec<Expr> = (0..width).map(|c| column(&input, c)).collect();
        columns.extend(self.extra.iter().map(|(e, _)| e.clone()));
        let mut fields: Vec<Arc<Field>> = input.fields().iter().cloned().collect();
        fields.extend(self.extra.iter().map(|(_, f)| f.clone()));
        let view = upper.view.clone();
        let mut node = self.input;
        if !self.extra.is_empty() {
            node = copy.push(Node {
                operator: Operator::Map { predicate: None, columns },
                inputs: vec![node],
                schema: Arc::new(Schema::new(fields.clone())),
                view: view.clone(),
            })?;
        }
        let below = fields.len();
        let outputs = self.functions.iter();
        fields.extend(outputs.map(|f| Arc::new(Field::new(&f.name, f.output.clone(), true))));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut order = order.clone();
        order.iter_mut().for_each(|o| o.column = self.places[o.column]);
        let (partition, functions) = (self.partition.clone(), self.functions.clone());
        let operator = Operator::Window { partition, order, derived: vec![], functions };
        let inputs = vec![node];
        node = copy.push(Node { operator, inputs, schema: schema.clone(), view: view.clone() })?;
        let own = upper.schema.fields().len() - self.places.len();
        let last = below + self.functions.len();
        let columns = self.places.iter().copied().chain(last - own..last);
        let columns = columns.map(|c| column(&schema, c)).collect();
        let operator = Operator::Map { predicate: None, columns };
        copy.push(Node { operator, inputs: vec![node], schema: upper.schema.clone(), view })
    }
}

/// The map above a window, or one that does nothing, and the window; if nobody else reads either.
fn between(plan: &Plan, top: NodeId, readers: &[usize]) -> Option<(Vec<Expr>, NodeId)> {
    let node = &plan.nodes()[top];
    let (columns, lower) = match &node.operator {
        Operator::Map { predicate: None, columns } if readers[top] == 1 => {
            (columns.clone(), node.inputs[0])
        }
        _ => ((0..node.schema.fields().len()).map(|c| column(&node.schema, c)).collect(), top),
    };
    let window = matches!(plan.nodes()[lower].operator, Operator::Window { .. });
    (window && readers[lower] == 1).then_some((columns, lower))
}

type Extra = Vec<(Expr, Arc<Field>)>;

/// What `columns`, over the window `lower`, compute from its input alone, and where each of them
/// is among (input columns, those, the window's functions).
fn place(
    plan: &Plan,
    columns: &[Expr],
    lower: NodeId,
    width: usize,
) -> Option<(Extra, Vec<usize>)> {
    let computed: Vec<&Expr> = columns.iter().filter(|e| bare(e).is_none()).collect();
    let below = width + computed.len();
    let mut extra: Extra = vec![];
    let mut places = vec![];
    for expr in columns {
        if let Some(c) = bare(expr) {
            places.push(if c < width { c } else { below + c - width });
            continue;
        }
        let schema = &plan.nodes()[lower].schema;
        if !total(expr, schema) || !reads_only(expr, width) {
            return None;
        }
        places.push(width + extra.len());
        let t = expr.data_type(schema).ok().and_then(|t| schemas::normal::normal_type(&t))?;
        extra.push((expr.clone(), Arc::new(Field::new(expr.to_string(), t, true))));
    }
    Some((extra, places))
}

/// Whether an expression has a value for every row.
pub(crate) fn total(expr: &Expr, schema: &SchemaRef) -> bool {
    let whole = |e: &Expr| e.data_type(schema).is_ok_and(|t| t.is_integer());
    every(expr, |e| {
        e.downcast_ref::<Column>().is_some()
            || e.downcast_ref::<Literal>().is_some()
            || e.downcast_ref::<CastExpr>()
                .is_some_and(|c| *c.cast_type() == DataType::Float64 && whole(c.expr()))
            || e.downcast_ref::<ScalarFunctionExpr>()
                .is_some_and(|f| TOTAL_FUNCTIONS.contains(&f.name()))
    })
}

fn reads_only(expr: &Expr, width: usize) -> bool {
    every(expr, |e| bare(e).is_none_or(|c| c < width))
}

pub(crate) fn every(expr: &Expr, mut holds: impl FnMut(&Expr) -> bool) -> bool {
    let mut all = true;
    let walked = expr.apply(|e| {
        all &= holds(e);
        Ok(if all { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    all && walked.is_ok()
}

/// Let `functions` see only rows that agree on the columns `by` too. `None` if one of them counts
/// rows, or has a frame without an end: a change would reach through all of the larger partition.
fn divide(functions: &mut [WindowFunction], by: &[usize]) -> Option<()> {
    if by.is_empty() {
        return Some(());
    }
    for f in functions {
        let bounded = |b: Bound| matches!(b, Bound::Offset(_));
        let counts = matches!(f.kind, WindowKind::RowNumber | WindowKind::Lag { .. });
        let measured = f.frame.units == FrameUnits::Range;
        if counts || !measured || !bounded(f.frame.start) || !bounded(f.frame.end) {
            return None;
        }
        f.within.extend(by.iter().copied().filter(|c| !f.within.contains(c)).collect::<Vec<_>>());
    }
    Some(())
}
