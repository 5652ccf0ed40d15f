//! Chunks: bounded runs behind a cheap handle, in memory or spilled.
//!
//! There are two types, so that what is on its way into an arrangement and what is kept in one can
//! be treated differently: chunks of the batcher ([`SORTING`]) live in memory, chunks of the trace
//! ([`KEPT`]) are offered to the spill (`spill`) when they settle. Bodies are shared (`Arc`),
//! immutable, `Send` and `Sync`: readers on other threads may hold them.

use std::collections::VecDeque;
use std::sync::Arc;

use differential_dataflow::trace::chunk::{self, ChunkBatch, ChunkSpine};
use schemas::Time;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use crate::assemble::Assembly;
use crate::budget::Charge;
use crate::compare::RowOrder;
use crate::merge::{advance, merge};
use crate::run::Run;
use crate::spill::{self, Offered, Stored};

/// The use of a chunk in the batcher.
pub const SORTING: bool = false;
/// The use of a chunk in the trace.
pub const KEPT: bool = true;
/// Most rows of a chunk, where nothing else is said.
pub const CHUNK_ROWS: usize = 1 << 14;

/// A run of at most `ROWS` rows, for use `USE`.
#[derive(Clone)]
pub struct Chunk<const USE: bool, const ROWS: usize> {
    rows: usize,
    first_hash: u64,
    last_hash: u64,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Resident(Arc<Run>),
    /// In memory, settled, and counted as long as it is there.
    Counted {
        run: Arc<Run>,
        _charge: Arc<Charge>,
    },
    Stored(Arc<dyn Stored>),
}

/// A batch of an arrangement.
pub type Batch<const ROWS: usize = CHUNK_ROWS> = ChunkBatch<Chunk<KEPT, ROWS>>;
/// The trace of an arrangement.
pub type Spine<const ROWS: usize = CHUNK_ROWS> = ChunkSpine<Chunk<KEPT, ROWS>>;

impl<const USE: bool, const ROWS: usize> Default for Chunk<USE, ROWS> {
    fn default() -> Self {
        Chunk::new(Run::empty())
    }
}

impl<const USE: bool, const ROWS: usize> Chunk<USE, ROWS> {
    /// `run` as a chunk in memory. A batch takes no empty ones, and none longer than `ROWS`.
    pub fn new(run: Run) -> Self {
        Chunk {
            rows: run.len(),
            first_hash: run.hashes.first().copied().unwrap_or(0),
            last_hash: run.hashes.last().copied().unwrap_or(0),
            body: Body::Resident(Arc::new(run)),
        }
    }

    /// The rows; read back if they are spilled.
    pub fn run(&self) -> Arc<Run> {
        match &self.body {
            Body::Resident(run) | Body::Counted { run, .. } => Arc::clone(run),
            Body::Stored(stored) => Arc::new(stored.load()),
        }
    }

    /// Hash of the first key. Known without reading a spilled body.
    pub fn first_hash(&self) -> u64 {
        self.first_hash
    }

    /// Hash of the last key. Known without reading a spilled body.
    pub fn last_hash(&self) -> u64 {
        self.last_hash
    }

    /// Whether the rows are not in memory.
    pub fn is_spilled(&self) -> bool {
        matches!(self.body, Body::Stored(_))
    }

    /// The same rows for another use.
    pub(crate) fn into_use<const OTHER: bool>(self) -> Chunk<OTHER, ROWS> {
        let Chunk { rows, first_hash, last_hash, body } = self;
        Chunk { rows, first_hash, last_hash, body }
    }

    /// Called when the chunk is not expected to change or be read soon.
    fn settled(mut self) -> Self {
        let Body::Resident(run) = &self.body else {
            return self;
        };
        if run.len() * 4 < run.allocated {
            self.body = Body::Resident(Arc::new(run.compact()));
        }
        if let (KEPT, Body::Resident(run)) = (USE, &self.body) {
            match spill::offer(run) {
                Offered::Stored(stored) => self.body = Body::Stored(stored),
                Offered::Kept(Some(charge)) => {
                    let (run, _charge) = (Arc::clone(run), Arc::new(charge));
                    self.body = Body::Counted { run, _charge };
                }
                Offered::Kept(None) => {}
            }
        }
        self
    }
}

/// The element of a frontier; `None` if it is empty. Times are totally ordered: there is one.
fn bound(frontier: AntichainRef<'_, Time>) -> Option<Time> {
    frontier.first().copied()
}

impl<const USE: bool, const ROWS: usize> chunk::Chunk for Chunk<USE, ROWS> {
    type Time = Time;
    const TARGET: usize = ROWS;

    fn len(&self) -> usize {
        self.rows
    }

    fn merge(left: &mut VecDeque<Self>, right: &mut VecDeque<Self>, out: &mut VecDeque<Self>) {
        let (Some(l), Some(r)) = (left.pop_front(), right.pop_front()) else {
            return;
        };
        let (l_run, r_run) = (l.run(), r.run());
        let merged = merge(&l_run, &r_run, false);
        out.extend(merged.run.map(Chunk::new));
        for (queue, chunk, run, read) in
            [(left, l, l_run, merged.left), (right, r, r_run, merged.right)]
        {
            if read == 0 {
                queue.push_front(chunk);
            } else if read < run.len() {
                queue.push_front(Chunk::new(run.slice(read, run.len())));
            }
        }
    }

    fn extract(
        input: &mut VecDeque<Self>,
        frontier: AntichainRef<'_, Time>,
        residual: &mut Antichain<Time>,
        keep: &mut VecDeque<Self>,
        ship: &mut VecDeque<Self>,
    ) {
        let Some(chunk) = input.pop_front() else {
            return;
        };
        let Some(upper) = bound(frontier) else {
            return ship.push_back(chunk);
        };
        let run = chunk.run();
        let late = run.times.iter().filter(|t| *t >= upper);
        let Some(least_late) = late.min() else {
            return ship.push_back(chunk);
        };
        residual.insert(least_late);
        if run.times.iter().all(|t| t >= upper) {
            return keep.push_back(chunk);
        }
        keep.extend(select(&run, |time| time >= upper).map(Chunk::new));
        ship.extend(select(&run, |time| time < upper).map(Chunk::new));
    }

    fn advance(
        input: &mut VecDeque<Self>,
        frontier: AntichainRef<'_, Time>,
        done: bool,
        out: &mut VecDeque<Self>,
    ) {
        // To an empty frontier no time can be told from another: leave them alone.
        let lower = bound(frontier).unwrap_or(0);
        while let Some(chunk) = input.pop_front() {
            let Some(next) = input.front() else {
                if done {
                    out.extend(advance(&chunk.run(), lower).map(Chunk::new));
                } else {
                    // The last row may coincide with the first of the chunk to come.
                    input.push_front(chunk);
                    return;
                }
                continue;
            };
            let Some(run) = advance(&chunk.run(), lower) else {
                continue;
            };
            if chunk.last_hash == next.first_hash {
                let following = next.run();
                let last = run.len() - 1;
                if run.times.get(last) == following.times.get(0).max(lower)
                    && run.same_key(run.key_count() - 1, &following, 0)
                    && RowOrder::new(&run.values, &following.values).equal(last, 0)
                {
                    // Should the sum be zero, the row goes when its chunk advances.
                    input[0] = Chunk::new(following.add_to_first(&run, last));
                    if last > 0 {
                        out.push_back(Chunk::new(run.slice(0, last)));
                    }
                    continue;
                }
            }
            out.push_back(Chunk::new(run));
        }
    }

    fn settle(input: &mut VecDeque<Self>, done: bool, out: &mut VecDeque<Self>) {
        let combine = |chunks: Vec<Self>| {
            let mut all = Assembly::default();
            for chunk in chunks {
                let run = chunk.run();
                let keys = run.key_count();
                let source = all.add_source(run);
                all.whole_keys(source, 0, keys, 0);
            }
            Chunk::new(all.finish().expect("chunks are not empty"))
        };
        let split = |chunk: Self, rows: usize| {
            let run = chunk.run();
            (Chunk::new(run.slice(0, rows)), Chunk::new(run.slice(rows, run.len())))
        };
        chunk::pack(input, done, out, combine, split, Chunk::settled);
    }
}

/// The rows whose time is wanted.
fn select(run: &Arc<Run>, wanted: impl Fn(Time) -> bool) -> Option<Run> {
    let mut out = Assembly::default();
    let source = out.add_source(Arc::clone(run));
    for k in 0..run.key_count() {
        let (mut row, end) = (run.key_start(k), run.key_end(k));
        let mut open = false;
        while row < end {
            let stop = (row..end).find(|r| !wanted(run.times.get(*r))).unwrap_or(end);
            if stop > row && !std::mem::replace(&mut open, true) {
                out.open_key(source, k);
            }
            out.rows(source, row, stop);
            row = stop + 1;
        }
    }
    out.finish()
}
