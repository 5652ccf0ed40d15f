//! Assembling a run from stretches of other runs: times and diffs are written at once, columns
//! are copied at the end, a stretch at a time.

use std::sync::Arc;

use schemas::{Diff, Time};

use crate::columns::{Stretch, copy_stretches};
use crate::run::Run;
use crate::updates::Lane;

/// Times and diffs of the rows written so far.
#[derive(Default)]
pub(crate) struct Stamps {
    pub(crate) times: Vec<Time>,
    pub(crate) count: Vec<Diff>,
    pub(crate) sums: Vec<Vec<i128>>,
}

impl Stamps {
    fn extend(&mut self, run: &Run, start: usize, end: usize) {
        copy_lane(&mut self.times, &run.times, start, end);
        copy_lane(&mut self.count, &run.count, start, end);
        self.sums.resize_with(run.sums.len(), Vec::new);
        for (sum, from) in self.sums.iter_mut().zip(&run.sums) {
            copy_lane(sum, from, start, end);
        }
    }

    /// Add the diff of a row to the row written last.
    fn add_to_last(&mut self, run: &Run, row: usize) {
        if let Some(count) = self.count.last_mut() {
            *count += run.count.get(row);
        }
        for (sum, from) in self.sums.iter_mut().zip(&run.sums) {
            if let Some(sum) = sum.last_mut() {
                *sum = sum.wrapping_add(from.get(row));
            }
        }
    }
}

fn copy_lane<T>(out: &mut Vec<T>, lane: &Lane<T>, start: usize, end: usize)
where
    T: arrow::datatypes::ArrowNativeType,
{
    match lane {
        Lane::Constant { value, .. } => out.resize(out.len() + end - start, *value),
        Lane::Each(values) => out.extend_from_slice(&values[start..end]),
    }
}

/// A run in the making. Rows must be written in order.
#[derive(Default)]
pub(crate) struct Assembly {
    sources: Vec<Arc<Run>>,
    rows: Vec<Stretch>,
    keys: Vec<Stretch>,
    hashes: Vec<u64>,
    ends: Vec<u32>,
    stamps: Stamps,
}

impl Assembly {
    /// Rows written.
    pub(crate) fn len(&self) -> usize {
        self.stamps.times.len()
    }

    /// Times of the rows written from `start` on.
    pub(crate) fn times_from(&self, start: usize) -> &[Time] {
        &self.stamps.times[start..]
    }

    /// Expect about so many rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.stamps.times.reserve(rows);
        self.stamps.count.reserve(rows);
    }

    /// Make `run` a source, under the number returned.
    pub(crate) fn add_source(&mut self, run: Arc<Run>) -> u32 {
        self.sources.push(run);
        (self.sources.len() - 1) as u32
    }

    /// The rows that follow have key `k` of `source`. No effect if that is the key already.
    pub(crate) fn open_key(&mut self, source: u32, k: usize) {
        let run = &self.sources[source as usize];
        let hash = run.hashes[k];
        if let (Some(last), Some(last_hash)) = (self.keys.last(), self.hashes.last()) {
            let same_place = last.source == source && last.end as usize == k + 1;
            let (of, at) = (&self.sources[last.source as usize], last.end as usize - 1);
            if *last_hash == hash && (same_place || of.same_key(at, run, k)) {
                return;
            }
        }
        self.hashes.push(hash);
        self.ends.push(self.stamps.times.len() as u32);
        append(&mut self.keys, source, k, k + 1);
    }

    /// Rows `[start, end)` of `source`, all of the open key.
    pub(crate) fn rows(&mut self, source: u32, start: usize, end: usize) {
        if start == end {
            return;
        }
        self.stamps.extend(&self.sources[source as usize], start, end);
        append(&mut self.rows, source, start, end);
        if let Some(last) = self.ends.last_mut() {
            *last = self.stamps.times.len() as u32;
        }
    }

    /// Add the diff of a row of `source` to the row written last.
    pub(crate) fn add_to_last(&mut self, source: u32, row: usize) {
        self.stamps.add_to_last(&self.sources[source as usize], row);
    }

    /// Keys `[first, end)` of `source` with all their rows; of the first only those from
    /// `first_row` on.
    pub(crate) fn whole_keys(&mut self, source: u32, first: usize, end: usize, first_row: usize) {
        if first == end {
            return;
        }
        let run = Arc::clone(&self.sources[source as usize]);
        let first_end = run.key_end(first);
        if first_row < first_end {
            self.open_key(source, first);
            self.rows(source, first_row, first_end);
        }
        if end == first + 1 {
            return;
        }
        // The keys after the first are new for certain.
        let written = self.stamps.times.len();
        let new_end = |k: usize| (written + run.key_end(k) - first_end) as u32;
        self.ends.extend((first + 1..end).map(new_end));
        self.hashes.extend_from_slice(&run.hashes[first + 1..end]);
        append(&mut self.keys, source, first + 1, end);
        self.rows(source, first_end, run.key_end(end - 1));
    }

    /// The run, or `None` if no row was written.
    pub(crate) fn finish(mut self) -> Option<Run> {
        let rows = self.len();
        if rows == 0 {
            return None;
        }
        self.drop_empty_keys();
        let allocated = match &self.rows[..] {
            [only] => self.sources[only.source as usize].allocated,
            _ => rows,
        };
        let column = |of: fn(&Run) -> &Vec<_>, c: usize, stretches: &[Stretch], rows: usize| {
            let sources: Vec<_> = self.sources.iter().map(|s| &of(s)[c]).collect();
            copy_stretches(&sources, stretches, rows)
        };
        let keys = (0..self.sources[0].keys.len())
            .map(|c| column(|run| &run.keys, c, &self.keys, self.hashes.len()))
            .collect();
        let values = (0..self.sources[0].values.len())
            .map(|c| column(|run| &run.values, c, &self.rows, rows))
            .collect();
        Some(Run {
            hashes: self.hashes.into(),
            ends: self.ends.into(),
            base: 0,
            keys,
            values,
            times: Lane::each(self.stamps.times),
            count: Lane::each(self.stamps.count),
            sums: self.stamps.sums.into_iter().map(Lane::each).collect(),
            allocated,
        })
    }

    /// A key whose rows all cancelled was opened but has no rows.
    fn drop_empty_keys(&mut self) {
        let mut previous = 0;
        let full: Vec<bool> =
            self.ends.iter().map(|end| std::mem::replace(&mut previous, *end) < *end).collect();
        if full.iter().all(|f| *f) {
            return;
        }
        let mut kept = Vec::new();
        let opened = self.keys.iter().flat_map(|s| (s.start..s.end).map(move |k| (s.source, k)));
        for ((source, k), _) in opened.zip(&full).filter(|(_, full)| **full) {
            append(&mut kept, source, k as usize, k as usize + 1);
        }
        self.keys = kept;
        let mut at = full.iter();
        self.hashes.retain(|_| at.next() == Some(&true));
        let mut at = full.iter();
        self.ends.retain(|_| at.next() == Some(&true));
    }
}

/// Append a stretch, joining it to the last one where it continues it.
fn append(stretches: &mut Vec<Stretch>, source: u32, start: usize, end: usize) {
    match stretches.last_mut() {
        Some(last) if last.source == source && last.end as usize == start => last.end = end as u32,
        _ => stretches.push(Stretch { source, start: start as u32, end: end as u32 }),
    }
}
