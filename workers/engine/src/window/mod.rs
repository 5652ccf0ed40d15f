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
//! * [`merge`]: changes, sorted and made.
//! * [`reach`]: which rows a change can be seen from, and which rows they see.
//! * [`frames`], [`evaluate`]: the functions, over the rows that are seen.

mod evaluate;
mod frames;
mod list;
mod median;
mod merge;
mod order;
mod reach;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrangement::{Lane, Updates};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, interleave};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use schemas::Diff;

use crate::plan::{OrderColumn, WindowFunction};
use evaluate::{Evaluator, Gathered, differing};
use list::{Key, List, Rows};
use merge::{Changes, Edit, Owed, apply};
use order::{By, is_whole};
use reach::{Lists, Partition, Reach, Run};

/// Rows gathered into one piece of output.
const PIECE_ROWS: usize = 16_384;
/// Rows of a first load that are sorted and put into the list together.
const LOAD_ROWS: usize = 1 << 18;

/// One worker's share of a window node.
pub(crate) struct WindowState {
    shape: Shape,
    evaluator: Evaluator,
    list: List,
    owed: Owed,
    /// Numbers the sub-partitions, one per distinct set of columns.
    numbering: Vec<Numbering>,
    pending: Vec<Updates>,
    pending_rows: usize,
    /// The list was empty before the time at hand: all that is in it is new.
    loading: bool,
    work: Option<Work>,
    visited: u64,
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
    reach: Reach,
}

/// A time being worked off.
struct Work {
    old: List,
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
        functions: &[WindowFunction],
    ) -> Result<Self, ArrowError> {
        let width = input.fields().len();
        let mut numbering: Vec<Numbering> = vec![];
        let mut subs = vec![];
        for function in functions {
            if function.within.is_empty() {
                subs.push(None);
                continue;
            }
            let at = match numbering.iter().position(|n| n.columns == function.within) {
                Some(at) => at,
                None => {
                    numbering.push(Numbering::new(input, &function.within)?);
                    numbering.len() - 1
                }
            };
            subs.push(Some(width + at));
        }
        let fields = input.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        let plain = SortOptions { descending: false, nulls_first: true };
        let by_partition: Vec<By> = partition.iter().map(|c| (*c, plain)).collect();
        let options =
            |o: &OrderColumn| SortOptions { descending: o.descending, nulls_first: o.nulls_first };
        let by_order: Vec<By> = order.iter().map(|o| (o.column, options(o))).collect();
        let named: Vec<By> = by_partition.iter().chain(&by_order).copied().collect();
        let rest = (0..width).filter(|c| named.iter().all(|(n, _)| n != c));
        let shape = Shape {
            partition: partition.to_vec(),
            order: order.to_vec(),
            by_all: named.iter().copied().chain(rest.map(|c| (c, plain))).collect(),
            by_partition,
            by_order,
            whole: matches!(order, [one] if is_whole(input.field(one.column).data_type())),
            width,
            encoder: RowConverter::new(fields.collect())?,
            reach: Reach::new(input, order, functions)?,
        };
        Ok(WindowState {
            shape,
            evaluator: Evaluator::new(input, functions, &subs),
            list: List::default(),
            owed: Owed::new(),
            numbering,
            pending: vec![],
            pending_rows: 0,
            loading: false,
            work: None,
            visited: 0,
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
            self.fold()?;
        }
        Ok(())
    }

    /// Whether [`WindowState::load`] may be called.
    pub(crate) fn can_load(&self) -> bool {
        self.work.is_none()
            && (self.loading || self.list.chunks().is_empty() && self.owed.is_empty())
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
        let lists = Lists { shape: &self.shape, old: &work.old, new: &self.list };
        let mut leaving = Leaving::default();
        while leaving.diffs.len() < PIECE_ROWS {
            let (partition, runs) = match &mut work.todo {
                Todo::Changed(left) => {
                    let Some(of) = left.pop_front() else { break };
                    let partition = lists.partition(&work.changes, of.clone())?;
                    let reach = &self.shape.reach;
                    let runs = reach.runs(&lists, &partition, &work.changes, of, &work.edit)?;
                    (partition, runs)
                }
                Todo::Loaded(left) => {
                    let Some(new) = left.pop_front() else { break };
                    let (inserted, deleted) = (new.clone().collect(), vec![]);
                    let run = Run { old: 0..0, new: new.clone(), deleted, inserted };
                    (Partition { old: 0..0, new }, vec![run])
                }
            };
            for run in runs {
                leaving.run(&lists, &self.evaluator, &partition, &run, &mut self.visited)?;
            }
        }
        if work.todo.is_empty() {
            self.work = None;
        }
        if leaving.diffs.is_empty() {
            return Ok(None);
        }
        leaving.piece(&self.shape, &self.evaluator).map(Some)
    }

    /// Make all pending changes; what they change is worked off in steps.
    fn begin(&mut self) -> Result<(), ArrowError> {
        let loaded = std::mem::take(&mut self.loading);
        let (old, changes, edit) = match self.pending.is_empty() {
            true => <_>::default(),
            false => self.fold()?,
        };
        self.work = Some(match loaded {
            false => {
                let todo = Todo::Changed(changes.partitions.iter().cloned().collect());
                Work { old, changes, edit, todo }
            }
            true => {
                let todo = Todo::Loaded(self.list.partitions(&self.shape)?.into());
                let (changes, edit) = <_>::default();
                Work { old: List::default(), changes, edit, todo }
            }
        });
        Ok(())
    }

    /// Put what is pending into the list. The list before, and what changed.
    fn fold(&mut self) -> Result<(List, Changes, Edit), ArrowError> {
        self.pending_rows = 0;
        let mut all = Updates::concat(&std::mem::take(&mut self.pending));
        for numbering in &mut self.numbering {
            let numbers = numbering.of(&all.columns)?;
            all.columns.push(numbers);
        }
        let changes = Changes::sorted(&self.shape, &all)?;
        let (new, edit) = apply(&self.shape, &self.list, &changes, &mut self.owed)?;
        Ok((std::mem::replace(&mut self.list, new), changes, edit))
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
    fn new(input: &SchemaRef, columns: &[usize]) -> Result<Numbering, ArrowError> {
        let field = |c: &usize| SortField::new(input.field(*c).data_type().clone());
        let encoder = RowConverter::new(columns.iter().map(field).collect())?;
        Ok(Numbering { columns: columns.to_vec(), encoder, numbers: HashMap::new() })
    }

    fn of(&mut self, columns: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
        let own: Vec<ArrayRef> = self.columns.iter().map(|c| columns[*c].clone()).collect();
        let rows = self.encoder.convert_columns(&own)?;
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

/// Rows on their way out.
#[derive(Default)]
struct Leaving {
    sources: Vec<Arc<Rows>>,
    /// Source and row.
    rows: Vec<(usize, usize)>,
    diffs: Vec<Diff>,
    values: Vec<Gathered>,
}

impl Leaving {
    /// The rows of `run` as they were and as they are, where they differ.
    fn run(
        &mut self,
        lists: &Lists<'_>,
        evaluator: &Evaluator,
        partition: &Partition,
        run: &Run,
        visited: &mut u64,
    ) -> Result<(), ArrowError> {
        let shape = lists.shape;
        let old = evaluator.values(shape, lists.old, &partition.old, run.old.clone(), visited)?;
        let new = evaluator.values(shape, lists.new, &partition.new, run.new.clone(), visited)?;
        let (old_kept, mut old_rows) = cut(run.old.clone(), &run.deleted);
        let (new_kept, mut new_rows) = cut(run.new.clone(), &run.inserted);
        debug_assert_eq!(old_kept.len(), new_kept.len(), "what did not change is aligned");
        let mut differs = vec![false; old_kept.len()];
        for (was, is) in old.iter().zip(&new) {
            differing(was, is, (&old_kept, &new_kept), &mut differs)?;
        }
        for (i, _) in differs.iter().enumerate().filter(|(_, d)| **d) {
            old_rows.push(old_kept[i]);
            new_rows.push(new_kept[i]);
        }
        if self.values.is_empty() {
            self.values = new.iter().map(Gathered::like).collect();
        }
        for (list, start, rows, values, diff) in [
            (lists.old, run.old.start, &old_rows, &old, -1),
            (lists.new, run.new.start, &new_rows, &new, 1),
        ] {
            self.rows(list, start, rows);
            self.diffs.extend(std::iter::repeat_n(diff, rows.len()));
            for (gathered, values) in self.values.iter_mut().zip(values) {
                gathered.add(values, rows)?;
            }
        }
        Ok(())
    }

    fn rows(&mut self, list: &List, start: usize, rows: &[u32]) {
        for row in rows {
            let (chunk, row) = list.locate(start + *row as usize);
            let chunk = &list.chunks()[chunk];
            if self.sources.last().is_none_or(|last| !Arc::ptr_eq(last, chunk)) {
                self.sources.push(chunk.clone());
            }
            self.rows.push((self.sources.len() - 1, row));
        }
    }

    fn piece(self, shape: &Shape, evaluator: &Evaluator) -> Result<Piece, ArrowError> {
        let column = |c: usize| {
            let sources: Vec<&dyn Array> =
                self.sources.iter().map(|s| s.columns[c].as_ref()).collect();
            interleave(&sources, &self.rows)
        };
        let mut columns = (0..shape.width).map(column).collect::<Result<Vec<_>, _>>()?;
        columns.extend(evaluator.columns(self.values, self.diffs.len())?);
        Ok(Piece { columns, diffs: self.diffs })
    }
}

/// Positions of `range` counted from its start: those not in `marked`, and those in it.
fn cut(range: Range<usize>, marked: &[usize]) -> (Vec<u32>, Vec<u32>) {
    let mut marks = marked.iter().copied().peekable();
    let (mut plain, mut hit) = (vec![], vec![]);
    for position in range.clone() {
        let at = u32::try_from(position - range.start).expect("a run has fewer than 2^32 rows");
        while marks.peek().is_some_and(|m| *m < position) {
            marks.next();
        }
        if marks.peek() == Some(&position) { hit.push(at) } else { plain.push(at) }
    }
    (plain, hit)
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
