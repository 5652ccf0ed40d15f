//! `reduce`: from all rows of a key to the rows that stand for them, many keys a call.
//!
//! Times are totally ordered, so a key's output can change only when its input does: the times at
//! which to look are the times of the new changes, and nothing is ever owed to a later time. A
//! retirement goes through the changed keys in windows; in a window it goes through those times in
//! waves (each key's first, then each key's second, …), evaluates all keys of a wave in one call,
//! and emits how each key's rows differ from what they were.

use std::rc::Rc;

use arrow::array::ArrayRef;
use differential_dataflow::operators::reduce::{ReduceTactic, reduce_with_tactic};
use differential_dataflow::trace::chunk::settle_all;
use differential_dataflow::trace::{Description, Span};
use schemas::{Diff, Time};
use timely::dataflow::Stream;
use timely::progress::Antichain;

use crate::arrange::{Arranged, Tuning, updates_of};
use crate::chunk::{Batch, Chunk, KEPT, Spine};
use crate::draw::Draw;
use crate::updates::Updates;
use crate::window::Window;

/// The whole input of some groups at one time. `counts` and `sums` are the diffs of the value
/// rows; a row is there because one of them is not zero, so a count may be negative, or zero
/// beside a sum. Rows of a group are sorted and distinct.
pub struct Groups<'a> {
    /// Key columns, one row per group.
    pub keys: Vec<ArrayRef>,
    /// Value columns.
    pub values: &'a [ArrayRef],
    /// Diff column 0, per value row.
    pub counts: &'a [Diff],
    /// Diff columns 1 and up, each per value row.
    pub sums: &'a [Vec<i128>],
    /// One past the last value row of each group; no group is empty.
    pub ends: &'a [usize],
}

/// What stands for the groups.
pub struct Evaluated {
    /// Output columns. Rows of a group may be in any order, and repeated: each counts once.
    pub columns: Vec<ArrayRef>,
    /// One past the last output row of each group; a group may have none.
    pub ends: Vec<usize>,
}

/// The meaning of a reduction. It must be a function of the groups: the same group always gives
/// the same rows, whatever it is evaluated with.
pub trait Evaluate: 'static {
    /// The rows that stand for each group. The number of columns and their types never change.
    fn evaluate(&mut self, groups: Groups<'_>) -> Evaluated;
}

/// Keep, for every key, the rows that `evaluate` gives for its input: key columns, then those
/// columns. A key without input has no output.
pub fn reduce<'s>(
    arranged: &Arranged<'s>,
    name: &str,
    evaluate: Box<dyn Evaluate>,
) -> Stream<'s, Time, Updates> {
    reduce_tuned(arranged, name, evaluate, Tuning::default())
}

/// [`reduce`] with everything chosen.
pub fn reduce_tuned<'s, const ROWS: usize>(
    arranged: &Arranged<'s, ROWS>,
    name: &str,
    evaluate: Box<dyn Evaluate>,
    tuning: Tuning,
) -> Stream<'s, Time, Updates> {
    let tactic = Reduction { evaluate, window_rows: tuning.window_rows };
    let reduced: Arranged<'s, ROWS> =
        reduce_with_tactic::<_, Spine<ROWS>, _>(arranged.clone(), name, tactic);
    updates_of(&reduced)
}

struct Reduction {
    evaluate: Box<dyn Evaluate>,
    window_rows: usize,
}

impl<const ROWS: usize> ReduceTactic<Time, Rc<Batch<ROWS>>, Rc<Batch<ROWS>>> for Reduction {
    fn retire(
        &mut self,
        source: Vec<Rc<Batch<ROWS>>>,
        output: Vec<Rc<Batch<ROWS>>>,
        input: Vec<Rc<Batch<ROWS>>>,
        lower: &Antichain<Time>,
        upper: &Antichain<Time>,
        _held: &Antichain<Time>,
    ) -> (Option<Span<Time, Rc<Batch<ROWS>>>>, Antichain<Time>) {
        // Nothing is ever withheld: the frontier of withheld work is empty.
        let (Some(from), false) = (lower.first().copied(), input.is_empty()) else {
            return (None, Antichain::new());
        };
        let (mut prior, mut novel) = (Draw::new(&source), Draw::new(&input));
        let mut before = Draw::new(&output);
        let mut chunks: Vec<Chunk<KEPT, ROWS>> = Vec::new();
        while novel.head().is_some() {
            let mut due = Vec::new();
            let mut rows = 0;
            while let Some(hash) = novel.head().filter(|_| rows < self.window_rows) {
                let mut times: Vec<Time> = Vec::new();
                rows += novel.take(hash, |t| times.extend(t));
                rows += prior.take(hash, |_| {});
                rows += before.take(hash, |_| {});
                times.sort_unstable();
                times.dedup();
                due.push((hash, times));
            }
            let mut runs = prior.parts();
            runs.extend(novel.parts());
            let input = crate::merge::merge_all(runs, from);
            let window = Window::new(input, before.merged(from), &due);
            chunks.extend(window.reduce(&mut *self.evaluate).map(Chunk::new));
        }
        let chunks = settle_all(chunks);
        let batch = (!chunks.is_empty()).then(|| Rc::new(Batch::new(chunks)));
        let since = Antichain::from_elem(Time::MIN);
        let description = Description::new(lower.clone(), upper.clone(), since);
        (Some(Span::new(description, batch)), Antichain::new())
    }
}
