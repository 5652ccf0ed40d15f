//! `join`: pairs of rows whose keys agree.
//!
//! Not differential's proxy join: that holds all matches of a key at once, and one key may have
//! more matches than memory. Since times are totally ordered there is nothing to it that would
//! need help: a match counts from the later of its two times.

use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::operators::join::{Fresh, JoinTactic, join_with_tactic};
use schemas::{Diff, Time};
use timely::dataflow::Stream;

use crate::arrange::{Arranged, Tuning};
use crate::chunk::Batch;
use crate::columns::take_rows;
use crate::draw::{Draw, align};
use crate::run::Run;
use crate::updates::{Lane, Updates};

/// Pairs of rows that agree on the key: the key columns, the left value columns, the right ones.
/// The count of a pair is the product of its rows' counts. Neither side has sums.
pub fn join<'s>(
    left: &Arranged<'s>,
    right: &Arranged<'s>,
    name: &str,
) -> Stream<'s, Time, Updates> {
    join_tuned(left, right, name, Tuning::default())
}

/// [`join`] with everything chosen.
pub fn join_tuned<'s, const ROWS: usize>(
    left: &Arranged<'s, ROWS>,
    right: &Arranged<'s, ROWS>,
    name: &str,
    tuning: Tuning,
) -> Stream<'s, Time, Updates> {
    join_with_tactic(left.clone(), right.clone(), name, Pairing { tuning })
}

struct Pairing {
    tuning: Tuning,
}

impl<const ROWS: usize> JoinTactic<Time, Rc<Batch<ROWS>>, Rc<Batch<ROWS>>, Updates> for Pairing {
    fn prep(
        &mut self,
        left: Vec<Rc<Batch<ROWS>>>,
        right: Vec<Rc<Batch<ROWS>>>,
        _fresh: Fresh,
        lower: Time,
    ) -> Box<dyn Iterator<Item = Updates>> {
        Box::new(Pairs {
            left: Draw::new(&left),
            right: Draw::new(&right),
            lower,
            tuning: self.tuning,
            window: None,
        })
    }
}

/// The join of two lists of batches, a container at a time.
struct Pairs<const ROWS: usize> {
    left: Draw<ROWS>,
    right: Draw<ROWS>,
    /// No match counts before this time.
    lower: Time,
    tuning: Tuning,
    window: Option<Window>,
}

impl<const ROWS: usize> Iterator for Pairs<ROWS> {
    type Item = Updates;

    fn next(&mut self) -> Option<Updates> {
        loop {
            if let Some(pairs) = self.window.as_mut().and_then(|w| w.next(self.tuning.output_rows))
            {
                return Some(pairs);
            }
            self.window = None;
            if !self.draw() {
                return None;
            }
        }
    }
}

impl<const ROWS: usize> Pairs<ROWS> {
    /// Take the rows of some hashes that both sides have; `false` if none are left.
    fn draw(&mut self) -> bool {
        let mut rows = 0;
        while let (Some(l), Some(r)) = (self.left.head(), self.right.head()) {
            if l < r {
                self.left.seek(r);
            } else if r < l {
                self.right.seek(l);
            } else if rows >= self.tuning.window_rows {
                break;
            } else {
                rows += self.left.take(l, |_| {}) + self.right.take(l, |_| {});
            }
        }
        let sides = (self.left.merged(self.lower), self.right.merged(self.lower));
        if let (Some(left), Some(right)) = sides {
            self.window = Some(Window::new(left, right));
        }
        rows > 0
    }
}

/// The rows of some keys on both sides, and how far their pairs were given.
struct Window {
    left: Arc<Run>,
    right: Arc<Run>,
    /// Keys that both sides have: their places in each.
    keys: Vec<(usize, usize)>,
    /// The key that is next, and the next pair of its rows, counted from its first ones.
    key: usize,
    row: (usize, usize),
}

impl Window {
    fn new(left: Arc<Run>, right: Arc<Run>) -> Self {
        assert!(
            left.sums.is_empty() && right.sums.is_empty(),
            "the sums of a pair have no meaning"
        );
        let keys = align(&left, &right).into_iter().filter_map(|(l, r)| l.zip(r)).collect();
        Window { left, right, keys, key: 0, row: (0, 0) }
    }

    /// At most `limit` pairs.
    fn next(&mut self, limit: usize) -> Option<Updates> {
        let (left, right) = (&*self.left, &*self.right);
        let mut pairs = Matches::default();
        while pairs.left.len() < limit && self.key < self.keys.len() {
            let (l, r) = self.keys[self.key];
            let (l_start, r_start) = (left.key_start(l), right.key_start(r));
            let (l_rows, r_rows) = (left.key_end(l) - l_start, right.key_end(r) - r_start);
            let (i, j) = self.row;
            let end = r_rows.min(j + limit - pairs.left.len());
            for j in j..end {
                pairs.push(left, l_start + i, right, r_start + j);
            }
            pairs.keys.resize(pairs.left.len(), l as u32);
            self.row = if end < r_rows { (i, end) } else { (i + 1, 0) };
            if self.row.0 == l_rows {
                self.key += 1;
                self.row = (0, 0);
            }
        }
        (!pairs.left.is_empty()).then(|| pairs.into_updates(left, right))
    }
}

/// Pairs of rows by their places.
#[derive(Default)]
struct Matches {
    keys: Vec<u32>,
    left: Vec<u32>,
    right: Vec<u32>,
    times: Vec<Time>,
    count: Vec<Diff>,
}

impl Matches {
    #[inline]
    fn push(&mut self, left: &Run, i: usize, right: &Run, j: usize) {
        self.left.push(i as u32);
        self.right.push(j as u32);
        self.times.push(left.times.get(i).max(right.times.get(j)));
        self.count.push(left.count.get(i) * right.count.get(j));
    }

    fn into_updates(self, left: &Run, right: &Run) -> Updates {
        let mut columns = take_rows(&left.keys, self.keys);
        columns.extend(take_rows(&left.values, self.left));
        columns.extend(take_rows(&right.values, self.right));
        Updates::new(columns, Lane::each(self.times), Lane::each(self.count))
    }
}
