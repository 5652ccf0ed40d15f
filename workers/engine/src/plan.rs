//! What a set of views asks for, as a value.
//!
//! A [`Plan`] is a flat vector of nodes in dependency order: a node's inputs are smaller indices,
//! so every pass over it is one straight loop. It is valid by construction ([`Plan::push`] checks
//! every reference), printable, and has a [`Plan::fingerprint`] that processes compare before they
//! render.
//!
//! Columns are positions. Every node's `schema` is in normal form (`schemas::normal`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

/// Index of a node in [`Plan::nodes`].
pub type NodeId = usize;

/// A scalar expression over the columns of a node's input batch (normal types).
/// Its result may be of any type whose normal type is the output column's.
pub type Expr = Arc<dyn PhysicalExpr>;

/// One step: an operator over earlier nodes.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is done.
    pub operator: Operator,
    /// The nodes it reads, each smaller than the node's own index.
    pub inputs: Vec<NodeId>,
    /// Its output columns, in normal types.
    pub schema: SchemaRef,
    /// The view this node was lowered from, for faults and `EXPLAIN`.
    pub view: String,
}

/// The vocabulary of plans. Adding a word: a variant here, one file in `operators/`, one line in
/// its list.
#[derive(Clone, Debug)]
pub enum Operator {
    /// The accepted rows of a source, its mode already applied.
    Source(Source),
    /// Keep the rows for which `predicate` is true, then compute `columns`. No state.
    Map {
        /// Boolean; null counts as false.
        predicate: Option<Expr>,
        /// One expression per output column.
        columns: Vec<Expr>,
    },
    /// All rows of all inputs (at least one), which share a schema.
    Union,
    /// Each distinct row once. Nulls are equal to each other.
    Distinct,
    /// One row per group: the `keys` columns of the input, then one column per aggregate.
    /// Without keys there is always exactly one row. Nulls form a group of their own.
    Aggregate {
        /// Input columns to group by.
        keys: Vec<usize>,
        /// What to compute per group.
        aggregates: Vec<Aggregate>,
    },
    /// Pairs of rows that agree on `on`: all left columns, then all right columns.
    Join {
        /// Inner, or left (unmatched left rows once, right columns null).
        kind: JoinKind,
        /// Pairs (left column, right column) of equal normal types.
        on: Vec<(usize, usize)>,
        /// Whether a null key matches a null key (`IS NOT DISTINCT FROM`).
        null_equals_null: bool,
    },
    /// All input columns, then one column per function.
    Window {
        /// Input columns that name the partition; rows of one partition live on one worker.
        partition: Vec<usize>,
        /// The order within it. Ties are broken by all remaining columns, ascending, nulls first.
        order: Vec<OrderColumn>,
        /// Columns that functions read behind the input's. They are computed where they are read,
        /// kept nowhere, and are no outputs.
        derived: Vec<Derived>,
        /// What to compute per row.
        functions: Vec<WindowFunction>,
    },
}

/// A column that is computed from a row's others, for every row.
#[derive(Clone, Debug)]
pub struct Derived {
    /// How; it cannot fail.
    pub expr: Expr,
    /// Its name and type, normal.
    pub field: Arc<Field>,
}

/// A source as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the source.
    pub name: String,
    /// How its files become rows.
    pub mode: Mode,
    /// For an upsert source: its accepted history (`<source>_history`) instead of its current rows.
    pub history: bool,
    /// For sources of which files are whole rows: columns of which only the first row counts, by
    /// (log time that admitted the file, path, row number); the others are faults.
    pub unique: Option<Vec<usize>>,
}

/// How a source's files become rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Files only appear. A file that changes or vanishes is a fault, and its rows are retracted.
    Append,
    /// A file that is overwritten or deleted takes its old rows with it.
    Replace,
    /// The newest version per key counts.
    Upsert(Upsert),
    /// Rows carry their own diff (±n) in the column at this position, which is not an output.
    Changes {
        /// Position of the Int64 `_diff` column among the file's declared columns.
        diff: usize,
    },
}

/// The columns that order the versions of a key. Later means: greater by
/// (`version`, log time that admitted the file, path, row number).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upsert {
    /// Primary key columns.
    pub key: Vec<usize>,
    /// The version column, if declared; null is the oldest.
    pub version: Option<usize>,
    /// A Boolean column that says the key is gone, if declared.
    pub deleted: Option<usize>,
}

/// One aggregate of an [`Operator::Aggregate`].
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Output column name, for printing.
    pub name: String,
    /// What is computed.
    pub function: AggregateKind,
    /// Input columns the function reads.
    pub args: Vec<usize>,
    /// A Boolean input column: only rows where it is true count.
    pub filter: Option<usize>,
    /// Its type, normal.
    pub output: DataType,
}

/// Aggregates that can be undone live in the diff; all others re-read their group.
#[derive(Clone, Debug)]
pub enum AggregateKind {
    /// `count(*)` (no argument), or the rows whose argument is not null.
    Count,
    /// Sum of an integer or decimal; null if there is no non-null value. Out of range is a fault.
    Sum,
    /// Mean of an integer or decimal.
    Avg,
    /// Any DataFusion aggregate, run from scratch over the values of a changed group, which it
    /// sees in canonical order.
    Holistic(Arc<AggregateFunctionExpr>),
}

/// The joins that are maintained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Matches only.
    Inner,
    /// Matches, and unmatched left rows with nulls on the right.
    Left,
}

/// One `ORDER BY` column of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderColumn {
    /// Input column.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
    /// Nulls before all values.
    pub nulls_first: bool,
}

/// One `f(…) OVER (…)`.
#[derive(Clone, Debug)]
pub struct WindowFunction {
    /// Output column name, for printing.
    pub name: String,
    /// What is computed.
    pub kind: WindowKind,
    /// Input columns the function reads.
    pub args: Vec<usize>,
    /// The rows it sees.
    pub frame: Frame,
    /// Input columns that divide the partition further: it sees only rows that agree on them.
    /// Its frame is a bounded range, and it does not count rows.
    pub within: Vec<usize>,
    /// Its type, normal.
    pub output: DataType,
}

/// Window functions.
#[derive(Clone, Debug)]
pub enum WindowKind {
    /// `count(*)` or the non-null arguments in the frame.
    Count,
    /// Sum of an integer or decimal over the frame; null if there is no non-null value.
    Sum,
    /// Mean of an integer or decimal over the frame.
    Avg,
    /// Least non-null argument in the frame.
    Min,
    /// Greatest non-null argument in the frame.
    Max,
    /// Argument of the frame's first row.
    FirstValue,
    /// Argument of the frame's last row.
    LastValue,
    /// Position in the partition, from 1. The frame is ignored.
    RowNumber,
    /// Argument `offset` rows before (`offset` > 0: lag) or after (< 0: lead); out of the
    /// partition: the second argument if there is one, else null. The frame is ignored.
    Lag {
        /// Rows back; negative is forward.
        offset: i64,
    },
    /// Any DataFusion aggregate, run from scratch over the frame's rows in window order.
    Holistic(Arc<AggregateFunctionExpr>),
}

/// The rows a window function sees, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Counted in rows, or in units of the one order column (peers included).
    pub units: FrameUnits,
    /// Where it begins.
    pub start: Bound,
    /// Where it ends.
    pub end: Bound,
}

/// What bounds count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnits {
    /// Rows before and after.
    Rows,
    /// Distance in the order column: its integer representation (microseconds for timestamps,
    /// days for dates, scaled units for decimals). Floats are not order columns of such frames.
    Range,
}

/// One end of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// No end.
    Unbounded,
    /// This far from the current row, in window order: negative is preceding, 0 is the current
    /// row (and, for ranges, its peers), positive is following.
    Offset(i64),
}

/// A view whose rows leave the dataflow.
#[derive(Clone, Debug)]
pub struct Output {
    /// The view's name.
    pub view: String,
    /// The node that computes it.
    pub node: NodeId,
    /// The column (Timestamp or Date) by which its table is bucketed, if any.
    pub time_column: Option<usize>,
}

/// Why a node was refused by [`Plan::push`]: a bug in lowering, never a user's mistake.
#[derive(Debug, thiserror::Error)]
#[error("plan node {node}: {reason}")]
pub struct InvalidNode {
    /// Index the node would have had.
    pub node: NodeId,
    /// What is wrong with it.
    pub reason: String,
}

/// A dataflow as a value.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    nodes: Vec<Node>,
    outputs: Vec<Output>,
}

impl Plan {
    /// Append a node.
    ///
    /// # Errors
    /// An input that is not an earlier node, or a column that its input does not have.
    pub fn push(&mut self, node: Node) -> Result<NodeId, InvalidNode> {
        let id = self.nodes.len();
        let invalid = |reason: String| InvalidNode { node: id, reason };
        if let Some(i) = node.inputs.iter().find(|i| **i >= id) {
            return Err(invalid(format!("input {i} is not an earlier node")));
        }
        let widths: Vec<usize> =
            node.inputs.iter().map(|i| self.nodes[*i].schema.fields().len()).collect();
        node.operator.check(&widths, node.schema.fields().len()).map_err(invalid)?;
        self.nodes.push(node);
        Ok(id)
    }

    /// Declare that a view's rows leave the dataflow.
    ///
    /// # Errors
    /// A node or time column that does not exist.
    pub fn output(&mut self, output: Output) -> Result<(), InvalidNode> {
        let invalid = |reason| InvalidNode { node: output.node, reason };
        let node = self.nodes.get(output.node).ok_or_else(|| invalid("no such node".into()))?;
        if output.time_column.is_some_and(|c| c >= node.schema.fields().len()) {
            return Err(invalid("no such time column".into()));
        }
        self.outputs.push(output);
        Ok(())
    }

    /// The nodes, in dependency order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The views that leave the dataflow.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// A number that two processes share exactly when they print the same plan (FNV-1a of it).
    pub fn fingerprint(&self) -> u64 {
        self.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

impl Operator {
    fn check(&self, widths: &[usize], width: usize) -> Result<(), String> {
        let arity = |n: usize| match widths.len() == n {
            true => Ok(()),
            false => Err(format!("takes {n} inputs, not {}", widths.len())),
        };
        let within =
            |mut columns: &mut dyn Iterator<Item = usize>, input: usize| match (&mut columns)
                .find(|c| *c >= widths[input])
            {
                Some(c) => Err(format!("input {input} has no column {c}")),
                None => Ok(()),
            };
        let wide = |n: usize| match n == width {
            true => Ok(()),
            false => Err(format!("schema has {width} columns, not {n}")),
        };
        match self {
            Operator::Source(_) => arity(0),
            Operator::Map { columns, .. } => arity(1).and_then(|()| wide(columns.len())),
            Operator::Union if widths.is_empty() => Err("takes at least one input".into()),
            Operator::Union => widths.iter().try_for_each(|w| wide(*w)),
            Operator::Distinct => arity(1).and_then(|()| wide(widths[0])),
            Operator::Aggregate { keys, aggregates } => {
                arity(1)?;
                within(&mut keys.iter().copied(), 0)?;
                for a in aggregates {
                    within(&mut a.args.iter().copied().chain(a.filter), 0)?;
                }
                wide(keys.len() + aggregates.len())
            }
            Operator::Join { on, .. } => {
                arity(2)?;
                within(&mut on.iter().map(|p| p.0), 0)?;
                within(&mut on.iter().map(|p| p.1), 1)?;
                wide(widths[0] + widths[1])
            }
            Operator::Window { partition, order, derived, functions } => {
                arity(1)?;
                within(&mut partition.iter().copied(), 0)?;
                within(&mut order.iter().map(|o| o.column), 0)?;
                let readable = widths[0] + derived.len();
                for f in functions {
                    let mut read = f.args.iter().chain(&f.within);
                    if let Some(c) = read.find(|c| **c >= readable) {
                        return Err(format!("{} has no column {c} to read", f.name));
                    }
                }
                wide(widths[0] + functions.len())
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, node) in self.nodes.iter().enumerate() {
            let inputs: Vec<String> = node.inputs.iter().map(|i| format!("%{i}")).collect();
            writeln!(f, "%{id} = {}({})  [{}]", node.operator, inputs.join(", "), node.view)?;
        }
        for o in &self.outputs {
            writeln!(f, "{} <- %{}", o.view, o.node)?;
        }
        Ok(())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operator::Source(s) if s.history => write!(f, "source {}_history", s.name),
            Operator::Source(s) => {
                write!(f, "source {} {:?}", s.name, s.mode)?;
                match &s.unique {
                    Some(key) => write!(f, " unique {key:?}"),
                    None => Ok(()),
                }
            }
            Operator::Map { predicate, columns } => {
                write!(f, "map")?;
                if let Some(p) = predicate {
                    write!(f, " where {p}")?;
                }
                let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                write!(f, " [{}]", columns.join(", "))
            }
            Operator::Union => write!(f, "union"),
            Operator::Distinct => write!(f, "distinct"),
            Operator::Aggregate { keys, aggregates } => {
                let list: Vec<String> = aggregates.iter().map(ToString::to_string).collect();
                write!(f, "aggregate by {keys:?} [{}]", list.join(", "))
            }
            Operator::Join { kind, on, null_equals_null } => {
                write!(f, "{kind:?} join on {on:?}")?;
                if *null_equals_null { write!(f, " nulls equal") } else { Ok(()) }
            }
            Operator::Window { partition, order, derived, functions } => {
                let order: Vec<String> = order.iter().map(ToString::to_string).collect();
                let list: Vec<String> = functions.iter().map(ToString::to_string).collect();
                let (order, list) = (order.join(", "), list.join(", "));
                write!(f, "window by {partition:?} order [{order}]")?;
                if !derived.is_empty() {
                    let derived: Vec<String> = derived.iter().map(|d| d.expr.to_string()).collect();
                    write!(f, " with [{}]", derived.join(", "))?;
                }
                write!(f, " [{list}]")
            }
        }
    }
}

impl fmt::Display for OrderColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { " desc" } else { "" };
        let nulls = if self.nulls_first { " nulls first" } else { "" };
        write!(f, "{}{direction}{nulls}", self.column)
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.function {
            AggregateKind::Count => "count",
            AggregateKind::Sum => "sum",
            AggregateKind::Avg => "avg",
            AggregateKind::Holistic(h) => h.name(),
        };
        write!(f, "{name}{:?}", self.args)?;
        match self.filter {
            Some(c) => write!(f, " where {c}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for WindowFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            WindowKind::Holistic(h) => write!(f, "{}", h.name())?,
            kind => write!(f, "{kind:?}")?,
        }
        write!(f, "{:?} {}", self.args, self.frame)?;
        if self.within.is_empty() { Ok(()) } else { write!(f, " within {:?}", self.within) }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |b: Bound, open: &str| match b {
            Bound::Unbounded => open.to_string(),
            Bound::Offset(n) => format!("{n:+}"),
        };
        write!(f, "{:?}({}, {})", self.units, end(self.start, "-∞"), end(self.end, "+∞"))
    }
}
