//! Changes that wait for their time to be complete.

use std::collections::BTreeMap;

use arrangement::{Lane, Updates};
use schemas::Time;

/// Batches by time. Batches that hold several times are split as they come.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: BTreeMap<Time, Vec<Updates>>,
}

impl Backlog {
    pub(crate) fn push(&mut self, updates: Updates) {
        if updates.is_empty() {
            return;
        }
        if let Lane::Constant { value, .. } = updates.times {
            self.waiting.entry(value).or_default().push(updates);
            return;
        }
        let mut rows: BTreeMap<Time, Vec<u32>> = BTreeMap::new();
        for (row, time) in (0u32..).zip(updates.times.iter()) {
            rows.entry(time).or_default().push(row);
        }
        for (time, rows) in rows {
            let mut part = updates.take(rows);
            part.times = Lane::constant(time, part.len());
            self.waiting.entry(time).or_default().push(part);
        }
    }

    /// The least time that waits.
    pub(crate) fn first(&self) -> Option<Time> {
        self.waiting.keys().next().copied()
    }

    /// The batches of `time`.
    pub(crate) fn take(&mut self, time: Time) -> Vec<Updates> {
        self.waiting.remove(&time).unwrap_or_default()
    }

    /// The least time before `frontier` (`None`: no bound) with its batches.
    pub(crate) fn next(&mut self, frontier: Option<Time>) -> Option<(Time, Vec<Updates>)> {
        let first = *self.waiting.first_key_value()?.0;
        if frontier.is_some_and(|f| first >= f) {
            return None;
        }
        self.waiting.pop_first()
    }
}
