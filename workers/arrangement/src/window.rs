//! One window of a reduction: some keys, their input and their output so far, in memory.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::ArrayRef;
use schemas::{Diff, Time};

use crate::columns::{pick_rows, take_rows};
use crate::compare::RowOrder;
use crate::draw::align;
use crate::reduce::{Evaluate, Groups};
use crate::run::Run;
use crate::sort::Unsorted;
use crate::updates::Lane;

/// Output rows of one evaluation (or of the output trace), referred to by place.
struct Pool {
    columns: Vec<ArrayRef>,
}

/// A key of the window.
struct Group {
    /// Its place among the input's keys.
    input: Option<usize>,
    /// Its place among the keys of the output trace.
    output: Option<usize>,
    /// Which of `due` says when to look.
    due: usize,
    /// Its rows as of the last wave: pool, and places in it, in order.
    pool: usize,
    rows: Vec<u32>,
}

/// An output row that comes or goes.
struct Change {
    group: usize,
    pool: usize,
    row: u32,
    time: Time,
    count: Diff,
}

/// Some keys with their whole input, their output so far, and the times to look at.
pub(crate) struct Window<'a> {
    /// New and old input, merged; old times moved to the start of the interval.
    input: Arc<Run>,
    /// Output up to the start of the interval.
    output: Arc<Run>,
    /// Per changed hash the times of its changes, ascending.
    due: &'a [(u64, Vec<Time>)],
    groups: Vec<Group>,
    pools: Vec<Pool>,
    changes: Vec<Change>,
}

impl<'a> Window<'a> {
    /// `due` lists the hashes of all keys of `input` and `output`, ascending.
    pub(crate) fn new(
        input: Option<Arc<Run>>,
        output: Option<Arc<Run>>,
        due: &'a [(u64, Vec<Time>)],
    ) -> Self {
        let input = input.unwrap_or_else(|| Arc::new(Run::empty()));
        let output = output.unwrap_or_else(|| Arc::new(Run::empty()));
        debug_assert!(output.count.iter().all(|c| c == 1), "output rows are there once");
        let mut at = 0;
        let group = |(i, o): (Option<usize>, Option<usize>)| {
            let hash = i.map(|i| input.hashes[i]).or(o.map(|o| output.hashes[o]));
            while hash.is_some_and(|hash| due[at].0 < hash) {
                at += 1;
            }
            let rows = o.map_or(0..0, |o| output.key_start(o) as u32..output.key_end(o) as u32);
            Group { input: i, output: o, due: at, pool: 0, rows: rows.collect() }
        };
        let groups = align(&input, &output).into_iter().map(group).collect();
        let pools = vec![Pool { columns: output.values.clone() }];
        Window { input, output, due, groups, pools, changes: vec![] }
    }

    /// How the output changes.
    pub(crate) fn reduce(mut self, evaluate: &mut dyn Evaluate) -> Option<Run> {
        let mut active: Vec<usize> = (0..self.groups.len()).collect();
        for wave in 0.. {
            active.retain(|g| wave < self.due[self.groups[*g].due].1.len());
            if active.is_empty() {
                break;
            }
            self.wave(wave, &active, evaluate);
        }
        self.changed_rows().sorted()
    }

    /// When a group is looked at in a wave.
    fn time(&self, group: usize, wave: usize) -> Time {
        self.due[self.groups[group].due].1[wave]
    }

    fn wave(&mut self, wave: usize, active: &[usize], evaluate: &mut dyn Evaluate) {
        let mut content = Content::new(self.input.sums.len());
        for g in active {
            if let Some(key) = self.groups[*g].input {
                content.push(&self.input, key, *g, self.time(*g, wave));
            }
        }
        let mut ends = vec![];
        if !content.groups.is_empty() {
            let evaluated = content.evaluate(&self.input, evaluate);
            debug_assert_eq!(evaluated.ends.len(), content.groups.len());
            ends = evaluated.ends;
            self.pools.push(Pool { columns: evaluated.columns });
        }
        let new_pool = self.pools.len() - 1;
        let columns = &self.pools[new_pool].columns;
        let order = RowOrder::new(columns, columns);
        // One comparator per pool that some group's rows are in.
        let mut against: Vec<Option<RowOrder<'_>>> = self.pools.iter().map(|_| None).collect();
        let mut evaluated = content.groups.iter().zip(Ranges::new(&ends)).peekable();
        for g in active {
            let mut new: Vec<u32> = vec![];
            if let Some((_, range)) = evaluated.next_if(|(group, _)| *group == g) {
                new.extend(range);
                new.sort_unstable_by(|x, y| order.compare(*x as usize, *y as usize));
                new.dedup_by(|x, y| order.equal(*x as usize, *y as usize));
            }
            let time = self.due[self.groups[*g].due].1[wave];
            let group = &mut self.groups[*g];
            let (old_pool, old) = (group.pool, std::mem::take(&mut group.rows));
            let mut change = |pool, row, count| {
                self.changes.push(Change { group: *g, pool, row, time, count });
            };
            if old.is_empty() || new.is_empty() {
                old.iter().for_each(|row| change(old_pool, *row, -1));
                new.iter().for_each(|row| change(new_pool, *row, 1));
            } else {
                let compare = against[old_pool]
                    .get_or_insert_with(|| RowOrder::new(&self.pools[old_pool].columns, columns));
                difference(&old, &new, compare, |side, row| match side {
                    Ordering::Less => change(old_pool, row, -1),
                    _ => change(new_pool, row, 1),
                });
            }
            (group.pool, group.rows) = (new_pool, new);
        }
    }

    /// The changes as rows.
    fn changed_rows(&self) -> Unsorted {
        let mut keys = Vec::with_capacity(self.changes.len());
        let mut hashes = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let group = &self.groups[change.group];
            let (side, run, key) = match (group.input, group.output) {
                (Some(key), _) => (0, &self.input, key),
                (None, Some(key)) => (1, &self.output, key),
                (None, None) => unreachable!("a key is on one side at least"),
            };
            keys.push((side, key));
            hashes.push(run.hashes[key]);
        }
        let rows: Vec<(usize, usize)> =
            self.changes.iter().map(|c| (c.pool, c.row as usize)).collect();
        let pools: Vec<&[ArrayRef]> = self.pools.iter().map(|p| &p.columns[..]).collect();
        Unsorted {
            hashes,
            keys: pick_rows(&[&self.input.keys, &self.output.keys], &keys),
            values: pick_rows(&pools, &rows),
            times: Lane::each(self.changes.iter().map(|c| c.time).collect()),
            count: Lane::each(self.changes.iter().map(|c| c.count).collect()),
            sums: vec![],
        }
    }
}

/// Reports the rows that only one of two sorted lists has: `Less` for `old`, `Greater` for `new`.
fn difference(
    old: &[u32],
    new: &[u32],
    order: &RowOrder<'_>,
    mut report: impl FnMut(Ordering, u32),
) {
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        let side = match (old.get(i), new.get(j)) {
            (Some(x), Some(y)) => order.compare(*x as usize, *y as usize),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        match side {
            Ordering::Less => report(side, old[i]),
            Ordering::Greater => report(side, new[j]),
            Ordering::Equal => {}
        }
        i += usize::from(side.is_le());
        j += usize::from(side.is_ge());
    }
}

/// Consecutive ranges by their ends.
struct Ranges<'a> {
    start: usize,
    ends: std::slice::Iter<'a, usize>,
}

impl<'a> Ranges<'a> {
    fn new(ends: &'a [usize]) -> Self {
        Ranges { start: 0, ends: ends.iter() }
    }
}

impl Iterator for Ranges<'_> {
    type Item = std::ops::Range<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = *self.ends.next()?;
        let range = self.start as u32..end as u32;
        self.start = end;
        Some(range)
    }
}

/// The content of groups at a time each: rows of the input, and their diffs.
struct Content {
    /// The groups that have any, and the places of their keys.
    groups: Vec<usize>,
    keys: Vec<u32>,
    ends: Vec<usize>,
    rows: Vec<u32>,
    counts: Vec<Diff>,
    sums: Vec<Vec<i128>>,
}

impl Content {
    fn new(sums: usize) -> Self {
        Content {
            groups: vec![],
            keys: vec![],
            ends: vec![],
            rows: vec![],
            counts: vec![],
            sums: vec![vec![]; sums],
        }
    }

    /// Add the rows of `key` up to and including `time`, consolidated.
    fn push(&mut self, input: &Run, key: usize, group: usize, time: Time) {
        let (start, end) = (input.key_start(key), input.key_end(key));
        let before = self.rows.len();
        if input.times.slice(start, end - start).iter().all(|t| t == input.times.get(start)) {
            // The ordinary case: rows of one time are distinct.
            if input.times.get(start) <= time {
                (start..end).for_each(|row| self.push_rows(input, row..row + 1));
            }
        } else {
            let order = RowOrder::new(&input.values, &input.values);
            let mut row = start;
            while row < end {
                let next = (row + 1..end).find(|i| !order.equal(row, *i)).unwrap_or(end);
                let stop = (row..next).find(|i| input.times.get(*i) > time).unwrap_or(next);
                self.push_rows(input, row..stop);
                row = next;
            }
        }
        if self.rows.len() > before {
            self.groups.push(group);
            self.keys.push(key as u32);
            self.ends.push(self.rows.len());
        }
    }

    /// Add rows of equal value as one, unless they cancel.
    fn push_rows(&mut self, input: &Run, rows: std::ops::Range<usize>) {
        if rows.is_empty() || input.cancels(rows.clone()) {
            return;
        }
        self.rows.push(rows.start as u32);
        self.counts.push(rows.clone().map(|r| input.count.get(r)).sum());
        for (out, sum) in self.sums.iter_mut().zip(&input.sums) {
            out.push(rows.clone().fold(0, |total: i128, r| total.wrapping_add(sum.get(r))));
        }
    }

    fn evaluate(&self, input: &Run, evaluate: &mut dyn Evaluate) -> crate::reduce::Evaluated {
        let neighbours = self.rows.windows(2).all(|w| w[0] + 1 == w[1]);
        let values = match self.rows.first() {
            Some(first) if neighbours => {
                let (start, length) = (*first as usize, self.rows.len());
                input.values.iter().map(|c| c.slice(start, length)).collect()
            }
            _ => take_rows(&input.values, self.rows.clone()),
        };
        evaluate.evaluate(Groups {
            keys: take_rows(&input.keys, self.keys.clone()),
            values: &values,
            counts: &self.counts,
            sums: &self.sums,
            ends: &self.ends,
        })
    }
}
