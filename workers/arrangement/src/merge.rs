//! Merging runs, and moving their times forward.

use std::cmp::Ordering;
use std::sync::Arc;

use schemas::Time;

use crate::assemble::Assembly;
use crate::compare::{RowOrder, gallop};
use crate::run::Run;
use crate::updates::Lane;

/// What a merge gave, and how far it read.
pub(crate) struct Merged {
    /// The merged rows, `None` if they cancelled.
    pub(crate) run: Option<Run>,
    /// Rows read of the left run.
    pub(crate) left: usize,
    /// Rows read of the right run.
    pub(crate) right: usize,
}

/// One side of a merge: what is read of a run, and how far.
struct Side<'a> {
    run: &'a Run,
    source: u32,
    key: usize,
    row: usize,
    /// Nothing follows this run.
    complete: bool,
}

impl Side<'_> {
    fn done(&self) -> bool {
        self.key == self.run.key_count()
    }

    /// Whether the current key is known to go on in no later run: a later key follows it here, or
    /// nothing follows at all.
    fn key_is_complete(&self) -> bool {
        self.complete || self.key + 1 < self.run.key_count()
    }

    /// Write the keys up to `end`.
    fn copy_keys(&mut self, out: &mut Assembly, end: usize) {
        out.whole_keys(self.source, self.key, end, self.row);
        self.row = self.run.key_end(end - 1);
        self.key = end;
    }

    /// Write rows of the open key up to `end`.
    fn copy_rows(&mut self, out: &mut Assembly, end: usize) {
        out.rows(self.source, self.row, end);
        self.row = end;
    }
}

/// Merge two runs. If they are `complete`, all of them; otherwise each may be followed by another
/// run, and the merge stops where one of them is used up, so that what it wrote is final.
pub(crate) fn merge(left: &Arc<Run>, right: &Arc<Run>, complete: bool) -> Merged {
    let mut out = Assembly::default();
    out.reserve(left.len() + right.len());
    let source = out.add_source(Arc::clone(left));
    let mut l = Side { run: left, source, key: 0, row: 0, complete };
    let source = out.add_source(Arc::clone(right));
    let mut r = Side { run: right, source, key: 0, row: 0, complete };
    let key_order = RowOrder::new(&left.keys, &right.keys);
    let value_order = RowOrder::new(&left.values, &right.values);
    let keys = |i: usize, j: usize| {
        left.hashes[i].cmp(&right.hashes[j]).then_with(|| key_order.compare(i, j))
    };
    while !l.done() && !r.done() {
        match keys(l.key, r.key) {
            Ordering::Less => {
                let smaller = |i| keys(i, r.key) == Ordering::Less;
                let end = gallop(l.key + 1, left.key_count(), smaller);
                l.copy_keys(&mut out, end);
            }
            Ordering::Greater => {
                let smaller = |j| keys(l.key, j) == Ordering::Greater;
                let end = gallop(r.key + 1, right.key_count(), smaller);
                r.copy_keys(&mut out, end);
            }
            Ordering::Equal => {
                merge_key(&mut l, &mut r, &value_order, &mut out);
                // Where one side's key may go on, what is left of the other's must wait for it.
                let (left_end, right_end) = (left.key_end(l.key), right.key_end(r.key));
                if l.row < left_end && !r.key_is_complete() {
                    break;
                }
                l.copy_rows(&mut out, left_end);
                if r.row < right_end && !l.key_is_complete() {
                    break;
                }
                r.copy_rows(&mut out, right_end);
                l.key += 1;
                r.key += 1;
            }
        }
    }
    if complete {
        for side in [&mut l, &mut r] {
            if !side.done() {
                side.copy_keys(&mut out, side.run.key_count());
            }
        }
    }
    Merged { left: l.row, right: r.row, run: out.finish() }
}

/// Merge the rows of a key both sides are at, until one side has none left.
fn merge_key(l: &mut Side<'_>, r: &mut Side<'_>, value_order: &RowOrder<'_>, out: &mut Assembly) {
    let (left, right) = (l.run, r.run);
    out.open_key(l.source, l.key);
    let (left_end, right_end) = (left.key_end(l.key), right.key_end(r.key));
    let rows = |i: usize, j: usize| {
        let times = || left.times.get(i).cmp(&right.times.get(j));
        value_order.compare(i, j).then_with(times)
    };
    while l.row < left_end && r.row < right_end {
        match rows(l.row, r.row) {
            Ordering::Less => {
                let end = gallop(l.row + 1, left_end, |i| rows(i, r.row) == Ordering::Less);
                l.copy_rows(out, end);
            }
            Ordering::Greater => {
                let end = gallop(r.row + 1, right_end, |j| rows(l.row, j) == Ordering::Greater);
                r.copy_rows(out, end);
            }
            Ordering::Equal => {
                if cancel(left, l.row, right, r.row) {
                    l.row += 1;
                } else {
                    l.copy_rows(out, l.row + 1);
                    out.add_to_last(r.source, r.row);
                }
                r.row += 1;
            }
        }
    }
}

/// Whether the diffs of two rows add up to nothing.
fn cancel(left: &Run, i: usize, right: &Run, j: usize) -> bool {
    left.count.get(i) + right.count.get(j) == 0
        && left.sums.iter().zip(&right.sums).all(|(l, r)| l.get(i).wrapping_add(r.get(j)) == 0)
}

/// Merge complete runs, smallest first, and advance the result.
pub(crate) fn merge_all(mut runs: Vec<Arc<Run>>, lower: Time) -> Option<Arc<Run>> {
    while runs.len() > 1 {
        runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
        if let (Some(a), Some(b)) = (runs.pop(), runs.pop()) {
            runs.extend(merge(&a, &b, true).run.map(Arc::new));
        }
    }
    let all = runs.pop()?;
    advance(&all, lower).map(Arc::new)
}

/// `run` with times before `frontier` moved to it, consolidated. Times are totally ordered, so
/// the order of rows stays.
pub(crate) fn advance(run: &Run, frontier: Time) -> Option<Run> {
    let mut run = run.clone();
    let moved = run.times.iter().any(|t| t < frontier);
    if moved {
        run.times = match run.times {
            Lane::Constant { len, .. } => Lane::constant(frontier, len),
            Lane::Each(t) => Lane::each(t.iter().map(|t| (*t).max(frontier)).collect()),
        };
    }
    let value_order = RowOrder::new(&run.values, &run.values);
    let coincide =
        |i: usize, j: usize| run.times.get(i) == run.times.get(j) && value_order.equal(i, j);
    let no_zero = (0..run.len()).all(|row| !run.cancels(row..row + 1));
    let no_pair = || {
        let distinct = |k| (run.key_start(k) + 1..run.key_end(k)).all(|i| !coincide(i - 1, i));
        (0..run.key_count()).all(distinct)
    };
    if no_zero && (!moved || no_pair()) {
        drop(value_order);
        return Some(run);
    }
    let run = Arc::new(run.clone());
    let mut out = Assembly::default();
    out.reserve(run.len());
    let source = out.add_source(Arc::clone(&run));
    for k in 0..run.key_count() {
        let end = run.key_end(k);
        let mut row = run.key_start(k);
        while row < end {
            let next = (row + 1..end).find(|i| !coincide(row, *i)).unwrap_or(end);
            if !run.cancels(row..next) {
                out.open_key(source, k);
                out.rows(source, row, row + 1);
                (row + 1..next).for_each(|i| out.add_to_last(source, i));
            }
            row = next;
        }
    }
    out.finish()
}
