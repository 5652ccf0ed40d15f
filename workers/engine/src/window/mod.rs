//! `OVER (PARTITION BY … ORDER BY … frame)`, maintained.
//!
//! State is the input only: per partition a list of shared, sorted chunks of some hundred rows.
//! A batch of changes touches the rows whose frames cover it: those are computed before and after,
//! over the same chunks where nothing changed, and only rows that differ are emitted. Neither
//! output nor derived columns are kept. What a change costs is what its frames cover, however long
//! the partition is.
//!
//! * [`series`]: a partition's rows in order, and where a key stands among them.
//! * [`reach`]: which rows a change can be seen from, and which rows they see.
//! * [`evaluate`]: the functions, over a flat run of rows.

mod evaluate;
mod reach;
mod series;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrangement::{Lane, Updates};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, concat, kernels::cmp::not_distinct, take};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use schemas::Diff;

use crate::plan::{OrderColumn, WindowFunction};
use evaluate::Evaluator;
use reach::{Reach, Run};
use series::{Change, Series};

/// Rows gathered into one piece of output.
const PIECE_ROWS: usize = 16_384;

/// One worker's share of a window node.
pub(crate) struct WindowState {
    shape: Shape,
    partitions: HashMap<Box<[u8]>, Series>,
    pending: Vec<Updates>,
    work: VecDeque<(Box<[u8]>, Vec<Change>)>,
    columns: Vec<ArrayRef>,
    visited: u64,
}

/// What is fixed: how rows are sorted, and what is computed.
pub(crate) struct Shape {
    partition: Vec<usize>,
    /// Sort key: order columns, then all others.
    key: Vec<usize>,
    partitions: Option<RowConverter>,
    keys: RowConverter,
    reach: Reach,
    evaluator: Evaluator,
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
        let field = |c: &usize| SortField::new(input.field(*c).data_type().clone());
        let ordered = |o: &OrderColumn| {
            let options = SortOptions { descending: o.descending, nulls_first: o.nulls_first };
            SortField::new_with_options(input.field(o.column).data_type().clone(), options)
        };
        let named = |c: &usize| order.iter().any(|o| o.column == *c);
        let rest: Vec<usize> = (0..input.fields().len()).filter(|c| !named(c)).collect();
        let fields = order.iter().map(ordered).chain(rest.iter().map(field));
        let shape = Shape {
            partition: partition.to_vec(),
            key: order.iter().map(|o| o.column).chain(rest.iter().copied()).collect(),
            partitions: match partition.is_empty() {
                true => None,
                false => Some(RowConverter::new(partition.iter().map(field).collect())?),
            },
            keys: RowConverter::new(fields.collect())?,
            reach: Reach::new(input, order, functions)?,
            evaluator: Evaluator::new(input, order, functions),
        };
        Ok(WindowState {
            shape,
            partitions: HashMap::new(),
            pending: vec![],
            work: VecDeque::new(),
            columns: vec![],
            visited: 0,
        })
    }

    /// Changes of the time at hand; to be called before its first step.
    pub(crate) fn push(&mut self, updates: Updates) {
        self.pending.push(updates);
    }

    /// Rows read to compute output so far: what the work of a change is made of.
    #[cfg(test)]
    pub(crate) fn visited(&self) -> u64 {
        self.visited
    }

    /// Do a bounded part of the work of the time; `None` when it is done.
    pub(crate) fn step(&mut self) -> Result<Option<Piece>, ArrowError> {
        if !self.pending.is_empty() {
            self.sort()?;
        }
        let (mut pieces, mut rows) = (vec![], 0);
        while rows < PIECE_ROWS {
            let Some((key, changes)) = self.work.pop_front() else { break };
            let series = self.partitions.entry(key.clone()).or_default();
            let before = series.clone();
            let edit = series.apply(&self.shape, &changes, &self.columns)?;
            let runs = self.shape.reach.runs(&self.shape, &before, series, &changes, &edit)?;
            for run in runs {
                let piece = self.shape.difference(&before, series, &run, &mut self.visited)?;
                rows += piece.diffs.len();
                pieces.push(piece);
            }
            if series.is_empty() {
                self.partitions.remove(&key);
            }
        }
        if pieces.is_empty() {
            self.columns = vec![];
            return Ok(None);
        }
        Piece::concat(pieces).map(Some)
    }

    /// All pending changes in order of (partition, key), cut by partition.
    fn sort(&mut self) -> Result<(), ArrowError> {
        let all = Updates::concat(&std::mem::take(&mut self.pending));
        let pick = |of: &[usize]| of.iter().map(|c| all.columns[*c].clone()).collect::<Vec<_>>();
        let partitions = match &self.shape.partitions {
            Some(converter) => Some(converter.convert_columns(&pick(&self.shape.partition))?),
            None => None,
        };
        let keys = self.shape.keys.convert_columns(&pick(&self.shape.key))?;
        let partition = |i: usize| partitions.as_ref().map_or(&[][..], |p| p.row(i).data());
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_unstable_by(|a, b| {
            partition(*a).cmp(partition(*b)).then_with(|| keys.row(*a).cmp(&keys.row(*b)))
        });
        let mut work: Vec<(Box<[u8]>, Vec<Change>)> = vec![];
        for i in order {
            let count = all.count.get(i);
            let same = work.last().is_some_and(|(p, _)| **p == *partition(i));
            if !same {
                work.push((partition(i).into(), vec![]));
            }
            let Some((_, changes)) = work.last_mut() else { continue };
            match changes.last_mut() {
                Some(last) if *last.key == *keys.row(i).data() => last.count += count,
                _ => changes.push(Change { key: keys.row(i).data().into(), row: i, count }),
            }
        }
        for (_, changes) in &mut work {
            changes.retain(|c| c.count != 0);
        }
        work.retain(|(_, changes)| !changes.is_empty());
        self.work.extend(work);
        self.columns = all.columns;
        Ok(())
    }
}

impl Shape {
    /// The rows of `run` as they were and as they are, where they differ.
    fn difference(
        &self,
        before: &Series,
        after: &Series,
        run: &Run,
        visited: &mut u64,
    ) -> Result<Piece, ArrowError> {
        let old = self.evaluator.rows(self, before, run.old.clone(), visited)?;
        let new = self.evaluator.rows(self, after, run.new.clone(), visited)?;
        let (old_kept, mut old_rows) = cut(run.old.clone(), &run.deleted);
        let (new_kept, mut new_rows) = cut(run.new.clone(), &run.inserted);
        debug_assert_eq!(old_kept.len(), new_kept.len(), "what did not change is aligned");
        let width = self.key.len();
        let (a, b) = (UInt32Array::from(old_kept.clone()), UInt32Array::from(new_kept.clone()));
        let mut differs = vec![false; old_kept.len()];
        for (was, is) in old.iter().zip(&new).skip(width) {
            let same = not_distinct(&take(was, &a, None)?, &take(is, &b, None)?)?;
            differs.iter_mut().enumerate().for_each(|(i, d)| *d |= !same.value(i));
        }
        for (i, _) in differs.iter().enumerate().filter(|(_, d)| **d) {
            old_rows.push(old_kept[i]);
            new_rows.push(new_kept[i]);
        }
        let diffs = std::iter::repeat_n(-1, old_rows.len())
            .chain(std::iter::repeat_n(1, new_rows.len()))
            .collect();
        let (a, b) = (UInt32Array::from(old_rows), UInt32Array::from(new_rows));
        let column = |(was, is): (&ArrayRef, &ArrayRef)| -> Result<ArrayRef, ArrowError> {
            concat(&[take(was, &a, None)?.as_ref(), take(is, &b, None)?.as_ref()])
        };
        let columns = old.iter().zip(&new).map(column).collect::<Result<_, _>>()?;
        Ok(Piece { columns, diffs })
    }
}

/// Positions of `range` counted from its start: those not in `marked`, and those in it.
fn cut(range: std::ops::Range<usize>, marked: &[usize]) -> (Vec<u32>, Vec<u32>) {
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
    fn concat(pieces: Vec<Piece>) -> Result<Piece, ArrowError> {
        let width = pieces.first().map_or(0, |p| p.columns.len());
        let column = |c: usize| {
            let parts: Vec<_> = pieces.iter().map(|p| p.columns[c].as_ref()).collect();
            concat(&parts)
        };
        let columns = (0..width).map(column).collect::<Result<_, _>>()?;
        Ok(Piece { columns, diffs: pieces.into_iter().flat_map(|p| p.diffs).collect() })
    }

    /// The piece as changes at `time`.
    pub(crate) fn updates(self, time: schemas::Time) -> Updates {
        let times = Lane::constant(time, self.diffs.len());
        Updates::new(self.columns, times, Lane::each(self.diffs))
    }
}

pub(crate) type Chunk = Arc<series::Rows>;

#[cfg(test)]
mod tests;
