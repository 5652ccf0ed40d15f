//! Rows that differ, on their way out.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::interleave;
use arrow::error::ArrowError;
use schemas::Diff;

use super::evaluate::Evaluator;
use super::list::{List, Rows};
use super::merge::Edit;
use super::reach::{Lists, Partition, Run, all};
use super::values::{Gathered, Values, differing};
use super::{Piece, Shape};

/// Rows on their way out.
#[derive(Default)]
pub(crate) struct Leaving {
    sources: Vec<Arc<Rows>>,
    /// Source and row.
    rows: Vec<(usize, usize)>,
    pub(crate) diffs: Vec<Diff>,
    values: Vec<Option<Gathered>>,
}

impl Leaving {
    /// The rows of `run` as they were and as they are, where they differ.
    pub(crate) fn run(
        &mut self,
        lists: &Lists<'_>,
        evaluator: &Evaluator,
        partition: &Partition,
        edit: &Edit,
        run: &Run,
        visited: &mut u64,
    ) -> Result<(), ArrowError> {
        let shape = lists.shape;
        let every = all(shape.groups.len());
        let new = evaluator.values(shape, lists.new, &partition.new, &run.new, every, visited)?;
        if run.old.is_empty() {
            let rows: Vec<u32> = (0..index(run.new.len())).collect();
            return self.add(lists.new, run.new.start, &rows, 1, |f| (new[f].as_ref(), &rows));
        }
        // A row that goes needs all its values; those that stay, what may have changed.
        let groups = if run.deleted.is_empty() { run.changed } else { every };
        let old = evaluator.values(shape, lists.old, &partition.old, &run.old, groups, visited)?;
        let (old_kept, mut old_rows) = cut(&run.old, &edit.deleted[run.deleted.clone()]);
        let (new_kept, mut new_rows) = cut(&run.new, &edit.inserted[run.inserted.clone()]);
        debug_assert_eq!(old_kept.len(), new_kept.len(), "what did not change is aligned");
        let mut differs = vec![false; old_kept.len()];
        for (was, is) in old.iter().zip(&new) {
            if let (Some(was), Some(is)) = (was, is) {
                differing(was, is, (&old_kept, &new_kept), &mut differs)?;
            }
        }
        // Where the rows that were are now: what was not computed is as it is.
        let mut same: Vec<u32> = vec![];
        for (i, _) in differs.iter().enumerate().filter(|(_, d)| **d) {
            old_rows.push(old_kept[i]);
            new_rows.push(new_kept[i]);
            same.push(new_kept[i]);
        }
        let was = |f: usize| match &old[f] {
            Some(values) => (Some(values), &old_rows),
            None => (new[f].as_ref(), &same),
        };
        self.add(lists.old, run.old.start, &old_rows, -1, was)?;
        self.add(lists.new, run.new.start, &new_rows, 1, |f| (new[f].as_ref(), &new_rows))
    }

    /// Add rows of `list`, counted from `start`; `values` has each function's values, and which.
    fn add<'a>(
        &mut self,
        list: List<'_>,
        start: usize,
        rows: &[u32],
        diff: Diff,
        values: impl Fn(usize) -> (Option<&'a Values>, &'a Vec<u32>),
    ) -> Result<(), ArrowError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut last = list.locate(start).0;
        for row in rows {
            let position = start + *row as usize;
            last = list.chunk_from(last, position);
            let chunk = list.chunk(last);
            if self.sources.last().is_none_or(|last| !Arc::ptr_eq(last, chunk)) {
                self.sources.push(chunk.clone());
            }
            self.rows.push((self.sources.len() - 1, position - list.start(last)));
        }
        self.diffs.extend(std::iter::repeat_n(diff, rows.len()));
        for f in 0..self.values.len() {
            if let (Some(values), rows) = values(f) {
                self.values[f].get_or_insert_with(|| Gathered::like(values)).add(values, rows)?;
            }
        }
        Ok(())
    }

    /// Nothing, of `functions` functions.
    pub(crate) fn new(functions: usize) -> Leaving {
        let values = std::iter::repeat_with(|| None).take(functions).collect();
        Leaving { values, ..Leaving::default() }
    }

    pub(crate) fn piece(self, shape: &Shape, evaluator: &Evaluator) -> Result<Piece, ArrowError> {
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
fn cut(range: &Range<usize>, marked: &[usize]) -> (Vec<u32>, Vec<u32>) {
    let mut marks = marked.iter().copied().peekable();
    let (mut plain, mut hit) = (Vec::with_capacity(range.len()), vec![]);
    for position in range.clone() {
        let at = index(position - range.start);
        while marks.peek().is_some_and(|m| *m < position) {
            marks.next();
        }
        if marks.peek() == Some(&position) { hit.push(at) } else { plain.push(at) }
    }
    (plain, hit)
}

fn index(row: usize) -> u32 {
    u32::try_from(row).expect("a run has fewer than 2^32 rows")
}
