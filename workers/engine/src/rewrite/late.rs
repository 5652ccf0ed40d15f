//! What only a window's functions read is computed where they read it.
//!
//! A map below a window computes columns for every row, and the window would keep them with its
//! rows. If they can be had for every row from the columns beside them, the window keeps those
//! alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::{bare, copied, every, moved, total};
use crate::plan::{Derived, Expr, InvalidNode, Node, NodeId, Operator, Plan};

/// A window, the map it reads, and what becomes of the map's columns.
struct Late {
    window: NodeId,
    /// The map above the window, its only reader.
    reader: NodeId,
    /// How many columns of the window's input it keeps: the first.
    kept: usize,
}

/// The first window that need not keep what it can compute; `None` if there is none.
pub(super) fn derive(plan: &Plan) -> Result<Option<Plan>, InvalidNode> {
    let mut readers: Vec<Vec<NodeId>> = vec![vec![]; plan.nodes().len()];
    for (id, node) in plan.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|i| readers[*i].push(id));
    }
    // An output reads a node as no map does.
    plan.outputs().iter().for_each(|o| readers[o.node].push(usize::MAX));
    let found = (0..plan.nodes().len()).find_map(|id| Late::at(plan, id, &readers));
    let Some(late) = found else { return Ok(None) };
    let made = copied(plan, |id, node, copy| {
        if id == late.window {
            late.window(plan, node, copy)
        } else if id == late.reader {
            late.reader(plan, node, copy)
        } else {
            copy.push(node)
        }
    })?;
    Ok(Some(made))
}

impl Late {
    fn at(plan: &Plan, window: NodeId, readers: &[Vec<NodeId>]) -> Option<Late> {
        let node = &plan.nodes()[window];
        let Operator::Window { partition, order, derived, functions } = &node.operator else {
            return None;
        };
        let map = node.inputs[0];
        let [reader] = readers[window].as_slice() else { return None };
        if !derived.is_empty() || readers[map].len() != 1 {
            return None;
        }
        let Operator::Map { columns: above, predicate } = &plan.nodes().get(*reader)?.operator
        else {
            return None;
        };
        let Operator::Map { predicate: None, columns } = &plan.nodes()[map].operator else {
            return None;
        };
        let mut read: BTreeSet<usize> = partition.iter().copied().collect();
        read.extend(order.iter().map(|o| o.column));
        for expr in above.iter().chain(predicate) {
            every(expr, |e| {
                read.extend(bare(e));
                true
            });
        }
        // Columns that the computed ones are made of have to be there.
        let below = &plan.nodes()[plan.nodes()[map].inputs[0]].schema;
        let picked = |c: usize| columns.iter().position(|e| bare(e) == Some(c));
        let named: BTreeSet<usize> =
            functions.iter().flat_map(|f| f.args.iter().chain(&f.within)).copied().collect();
        let late = |c: usize| {
            let expr = &columns[c];
            !read.contains(&c)
                && named.contains(&c)
                && bare(expr).is_none()
                && total(expr, below)
                && every(expr, |e| bare(e).is_none_or(|b| picked(b).is_some()))
        };
        // Rows that the order does not tell apart are told apart by their columns, first to last:
        // only the last ones can go without a change to that.
        let kept = (0..columns.len()).rev().find(|c| !late(*c)).map_or(0, |c| c + 1);
        (kept < columns.len()).then_some(Late { window, reader: *reader, kept })
    }

    /// The window, over a map that computes less. `node` has its inputs in the copy.
    fn window(&self, plan: &Plan, node: Node, copy: &mut Plan) -> Result<NodeId, InvalidNode> {
        let map = copy.nodes()[node.inputs[0]].clone();
        let (Operator::Map { columns, .. }, Operator::Window { partition, order, functions, .. }) =
            (&map.operator, &node.operator)
        else {
            return copy.push(node);
        };
        let input: SchemaRef = Arc::new(Schema::new(map.schema.fields()[..self.kept].to_vec()));
        // A computed column reads what the map reads; the window has that where the map picks it.
        let at = |c: usize| columns.iter().position(|e| bare(e) == Some(c)).unwrap_or(c);
        let computed = |(expr, field): (&Expr, &Arc<Field>)| Derived {
            expr: moved(expr, &input, at),
            field: field.clone(),
        };
        let last = columns.iter().zip(map.schema.fields()).skip(self.kept);
        let derived: Vec<Derived> = last.map(computed).collect();
        let less = Operator::Map { predicate: None, columns: columns[..self.kept].to_vec() };
        let (below, view) = (map.inputs, map.view);
        let mut fields = input.fields().to_vec();
        let less = copy.push(Node { operator: less, inputs: below, schema: input, view })?;
        let outputs = &plan.nodes()[self.window].schema.fields()[columns.len()..];
        fields.extend(outputs.iter().cloned());
        let operator = Operator::Window {
            partition: partition.clone(),
            order: order.clone(),
            derived,
            functions: functions.clone(),
        };
        let schema = Arc::new(Schema::new(fields));
        copy.push(Node { operator, inputs: vec![less], schema, view: node.view })
    }

    /// The map above, which reads no computed column.
    fn reader(&self, plan: &Plan, mut node: Node, copy: &mut Plan) -> Result<NodeId, InvalidNode> {
        let schema = copy.nodes()[node.inputs[0]].schema.clone();
        let input = plan.nodes()[self.window].inputs[0];
        let width = plan.nodes()[input].schema.fields().len();
        let at = |c: usize| if c < width { c } else { c - width + self.kept };
        if let Operator::Map { predicate, columns } = &mut node.operator {
            for expr in predicate.iter_mut().chain(columns) {
                *expr = moved(expr, &schema, at);
            }
        }
        copy.push(node)
    }
}
