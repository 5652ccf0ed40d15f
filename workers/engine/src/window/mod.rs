//! `OVER (PARTITION BY … ORDER BY … frame)`, maintained.
//!
//! State is the input only: one list of shared, sorted chunks of some hundred rows, partition
//! behind partition. A batch of changes touches the rows whose frames cover it: those are computed
//! before and after, over the same chunks where nothing changed, and only rows that differ are
//! emitted. Neither output nor derived columns are kept. What a change costs is what its frames
//! cover, however long the partition is.
//!
//! * [`order`]: how rows are compared, and where they stand on the line that frames measure.
//! * [`list`]: the rows in order, and where a row stands among them.
//! * [`merge`], [`laid`]: changes, sorted and made; chunks of what stays and what comes.
//! * [`reach`]: which rows a change can be seen from, and which rows they see.
//! * [`frames`], [`columns`], [`evaluate`]: the functions, over the rows that are seen.
//! * [`leaving`]: rows that differ, as columns.

mod columns;
mod evaluate;
mod frames;
mod laid;
mod leaving;
mod list;
mod median;
mod merge;
mod order;
mod reach;
mod values;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrangement::{Budget, Charge, Lane, Updates};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use schemas::Diff;

use crate::plan::{Derived, OrderColumn, WindowFunction};
use columns::Computed;
use evaluate::Evaluator;
use leaving::Leaving;
use list::{Key, List, Order, Store};
use merge::{Changes, Edit, Owed, apply};
use order::{By, is_whole};
use reach::{Group, Lists, Partition, Run};

/// Rows gathered into one piece of output.
const PIECE_ROWS: usize = 16_384;
/// Rows of a first load that are sorted and put into the list together.
const LOAD_ROWS: usize = 1 << 19;

/// One worker's share of a window node.
pub(crate) struct WindowState {
    shape: Shape,
    evaluator: Evaluator,
    store: Store,
    order: Order,
    owed: Owed,
    /// Numbers the sub-partitions, one per distinct set of columns.
    numbering: Vec<Numbering>,
    pending: Vec<Updates>,
    pending_rows: usize,
    /// The list was empty before the time at hand: all that is in it is new.
    loading: bool,
    work: Option<Work>,
    visited: u64,
    /// Bytes of the list's chunks that are in memory.
    resident: Charge,
}

/// What is fixed: how rows are sorted, and how far they see.
pub(crate) struct Shape {
    partition: Vec<usize>,
    order: Vec<OrderColumn>,
    by_partition: Vec<By>,
    by_order: Vec<By>,
    /// Partition, order, then all other columns.
    by_all: Vec<By>,
    /// The order is one column of whole numbers: distances make sense.
    whole: bool,
    /// Columns that leave; behind them are numbers of sub-partitions.
    width: usize,
    encoder: RowConverter,
    /// What functions see, each once.
    groups: Vec<Group>,
}

/// A time being worked off.
#[derive(Default)]
struct Work {
    old: Order,
    /// Chunks that only the old order names.
    retired: Vec<u32>,
    changes: Changes,
    edit: Edit,
    todo: Todo,
}

/// Partitions that are still to do.
enum Todo {
    /// By their changes.
    Changed(VecDeque<Range<usize>>),
    /// By their rows: all are new.
    Loaded(VecDeque<Range<usize>>),
}

impl Default for Todo {
    fn default() -> Todo {
        Todo::Changed(VecDeque::new())
    }
}

impl Todo {
    fn is_empty(&self) -> bool {
        let (Todo::Changed(left) | Todo::Loaded(left)) = self;
        left.is_empty()
    }
}

/// A bounded piece of output: input columns, one column per function, and a text column that says
/// why a row has no value (null for rows that have one).
pub(crate) struct Piece {
    pub columns: Vec<ArrayRef>,
    pub diffs: Vec<Diff>,
}

impl WindowState {
    /// A window without rows.
    ///
    /// # Errors
    /// Frames that the order columns do not allow.
    pub(crate) fn new(
        input: &SchemaRef,
        partition: &[usize],
        order: &[OrderColumn],
        derived: &[Derived],
        functions: &[WindowFunction],
        budget: &Budget,
    ) -> Result<Self, ArrowError> {
        let width = input.fields().len();
        let computed: Vec<Computed> = derived.iter().map(|d| Computed::new(d, input)).collect();
        let kept = input.fields().iter().map(|f| f.data_type());
        let types: Vec<&DataType> = kept.chain(computed.iter().map(Computed::data_type)).collect();
        let mut numbering: Vec<Numbering> = vec![];
        let (mut groups, mut grouped) = (vec![], vec![]);
        for function in functions {
            let within = &function.within;
            let sub = match numbering.iter().position(|n| n.columns == *within) {
                _ if within.is_empty() => None,
                Some(at) => Some(width + at),
                None => {
                    numbering.push(Numbering::new(&types, within)?);
                    Some(width + numbering.len() - 1)
                }
            };
            let group = Group::of(function, sub);
            grouped.push(groups.iter().position(|g| *g == group).unwrap_or_else(|| {
                groups.push(group);
                groups.len() - 1
            }));
        }
        reach::check(input, order, &groups)?;
        Ok(WindowState {
            shape: Shape::new(input, partition, order, groups)?,
            evaluator: Evaluator::new(input, functions, &grouped, computed),
            store: Store::default(),
            order: Order::default(),
            owed: Owed::new(),
            numbering,
            pending: vec![],
            pending_rows: 0,
            loading: false,
            work: None,
            visited: 0,
            resident: budget.charge(),
        })
    }

    /// Changes of the time at hand; to be called before its first step.
    pub(crate) fn push(&mut self, updates: Updates) {
        self.pending_rows += updates.len();
        self.pending.push(updates);
    }

    /// Take changes of a time that is not complete, if there is nothing yet that they could
    /// change: a first load is put in order while it comes. No other time may come before.
    pub(crate) fn load(&mut self, updates: Updates) -> Result<(), ArrowError> {
        debug_assert!(self.can_load(), "nothing is here");
        self.loading = true;
        self.push(updates);
        if self.pending_rows >= LOAD_ROWS {
            let folded = self.fold()?;
            self.store.forget(folded.retired);
        }
        Ok(())
    }

    /// Whether [`WindowState::load`] may be called.
    pub(crate) fn can_load(&self) -> bool {
        self.work.is_none() && (self.loading || self.order.is_empty() && self.owed.is_empty())
    }

    /// Rows read to compute output so far: what the work of a change is made of.
    #[cfg(test)]
    pub(crate) fn visited(&self) -> u64 {
        self.visited
    }

    /// Do a bounded part of the work of the time; `None` when it is done.
    pub(crate) fn step(&mut self) -> Result<Option<Piece>, ArrowError> {
        if self.loading || !self.pending.is_empty() {
            self.begin()?;
        }
        let Some(work) = &mut self.work else { return Ok(None) };
        let (old, new) = (List::new(&work.old, &self.store), List::new(&self.order, &self.store));
        let lists = Lists { shape: &self.shape, old, new };
        let mut leaving = Leaving::new(self.evaluator.functions());
        while leaving.diffs.len() < PIECE_ROWS {
            let (partition, runs) = match &mut work.todo {
                Todo::Changed(left) => {
                    let Some(of) = left.pop_front() else { break };
                    let partition = lists.partition(&work.changes, of.clone())?;
                    let groups = &self.shape.groups;
                    let runs =
                        reach::runs(&lists, groups, &partition, &work.changes, of, &work.edit)?;
                    (partition, runs)
                }
                Todo::Loaded(left) => {
                    let Some(new) = left.pop_front() else { break };
                    (Partition { old: 0..0, new: new.clone() }, vec![Run::loaded(new)])
                }
            };
            for run in runs {
                let edit = &work.edit;
                leaving.run(&lists, &self.evaluator, &partition, edit, &run, &mut self.visited)?;
            }
        }
        if work.todo.is_empty()
            && let Some(done) = self.work.take()
        {
            self.store.forget(done.retired);
        }
        if leaving.diffs.is_empty() {
            return Ok(None);
        }
        leaving.piece(&self.shape, &self.evaluator).map(Some)
    }

    /// Make all pending changes; what they change is worked off in steps.
    fn begin(&mut self) -> Result<(), ArrowError> {
        let loaded = std::mem::take(&mut self.loading);
        let mut work = match self.pending.is_empty() {
            true => Work::default(),
            false => self.fold()?,
        };
        if loaded {
            self.store.forget(std::mem::take(&mut work.retired));
            let list = List::new(&self.order, &self.store);
            work = Work::default();
            work.todo = Todo::Loaded(list.partitions(&self.shape)?.into());
        }
        self.work = Some(work);
        Ok(())
    }

    /// Put what is pending into the list. What is to do for that.
    fn fold(&mut self) -> Result<Work, ArrowError> {
        self.pending_rows = 0;
        let mut all = Updates::concat(&std::mem::take(&mut self.pending));
        let (width, rows) = (self.shape.width, all.len());
        for numbering in &mut self.numbering {
            let column = |c: &usize| match c.checked_sub(width) {
                None => Ok(all.columns[*c].clone()),
                Some(computed) => self.evaluator.computed()[computed].of(&all.columns, rows),
            };
            let columns = numbering.columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
            let numbers = numbering.of(&columns)?;
            all.columns.push(numbers);
        }
        let changes = Changes::sorted(&self.shape, &all)?;
        let made = apply(&self.shape, &mut self.store, &self.order, &changes, &mut self.owed)?;
        self.resident.set(self.resident.bytes().saturating_add_signed(made.bytes));
        let old = std::mem::replace(&mut self.order, made.order);
        if self.resident.budget().is_over() {
            self.store.settle(&self.order, &mut self.resident)?;
        }
        let todo = Todo::Changed(changes.partitions.iter().cloned().collect());
        Ok(Work { old, retired: made.retired, changes, edit: made.edit, todo })
    }
}

impl Shape {
    fn new(
        input: &SchemaRef,
        partition: &[usize],
        order: &[OrderColumn],
        groups: Vec<Group>,
    ) -> Result<Shape, ArrowError> {
        let width = input.fields().len();
        let fields = input.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        let plain = SortOptions { descending: false, nulls_first: true };
        let by_partition: Vec<By> = partition.iter().map(|c| (*c, plain)).collect();
        let options =
            |o: &OrderColumn| SortOptions { descending: o.descending, nulls_first: o.nulls_first };
        let by_order: Vec<By> = order.iter().map(|o| (o.column, options(o))).collect();
        let named: Vec<By> = by_partition.iter().chain(&by_order).copied().collect();
        let rest = (0..width).filter(|c| named.iter().all(|(n, _)| n != c));
        Ok(Shape {
            partition: partition.to_vec(),
            order: order.to_vec(),
            by_all: named.iter().copied().chain(rest.map(|c| (c, plain))).collect(),
            by_partition,
            by_order,
            whole: matches!(order, [one] if is_whole(input.field(one.column).data_type())),
            width,
            encoder: RowConverter::new(fields.collect())?,
            groups,
        })
    }
}

impl Lists<'_> {
    /// The partition of the changes `of`.
    fn partition(&self, changes: &Changes, of: Range<usize>) -> Result<Partition, ArrowError> {
        let change = &changes.rows[of.start];
        let key = Key { columns: &changes.columns, row: change.row };
        Ok(Partition {
            old: self.old.partition(self.shape, change.hash, key)?,
            new: self.new.partition(self.shape, change.hash, key)?,
        })
    }
}

/// Numbers the distinct values of some columns, for as long as the window lives.
struct Numbering {
    columns: Vec<usize>,
    encoder: RowConverter,
    numbers: HashMap<Box<[u8]>, u32>,
}

impl Numbering {
    fn new(types: &[&DataType], columns: &[usize]) -> Result<Numbering, ArrowError> {
        let field = |c: &usize| SortField::new(types[*c].clone());
        let encoder = RowConverter::new(columns.iter().map(field).collect())?;
        Ok(Numbering { columns: columns.to_vec(), encoder, numbers: HashMap::new() })
    }

    /// The numbers of rows of which these are the columns.
    fn of(&mut self, columns: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
        let rows = self.encoder.convert_columns(columns)?;
        let mut numbers = Vec::with_capacity(rows.num_rows());
        for row in rows.iter() {
            let next = self.numbers.len() as u32;
            numbers.push(match self.numbers.get(row.data()) {
                Some(number) => *number,
                None => *self.numbers.entry(row.data().into()).or_insert(next),
            });
        }
        Ok(Arc::new(UInt32Array::from(numbers)))
    }
}

impl Piece {
    /// The piece as changes at `time`.
    pub(crate) fn updates(self, time: schemas::Time) -> Updates {
        let times = Lane::constant(time, self.diffs.len());
        Updates::new(self.columns, times, Lane::each(self.diffs))
    }
}

#[cfg(test)]
mod tests;
