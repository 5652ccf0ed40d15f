//! `arrange`: from a stream of changes to a trace, sorted and shared.

use std::collections::VecDeque;

use differential_dataflow::batcher::merge::{MergeBatcher, Sealer};
use differential_dataflow::batcher::{Batcher, Extract};
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::chunk::{Chunk as _, ChunkMerger, settle_all};
use schemas::Time;
use timely::container::{ContainerBuilder, NoopBuilder, PushInto};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::Operator;
use timely::progress::frontier::AntichainRef;

use crate::chunk::{Batch, CHUNK_ROWS, Chunk, KEPT, SORTING, Spine};
use crate::exchange::exchange;
use crate::sort::Unsorted;
use crate::updates::Updates;

/// An arrangement: a stream of batches, and the trace they accumulate in.
pub type Arranged<'s, const ROWS: usize = CHUNK_ROWS> =
    differential_dataflow::operators::arrange::Arranged<'s, TraceAgent<Spine<ROWS>>>;

/// What tests and measurements may choose; [`Tuning::default`] is right for everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Keys are ordered by their hash and this mask. Few bits make keys collide.
    pub hash_mask: u64,
    /// Rows that a reduction or join reads before it works on them.
    pub window_rows: usize,
    /// Most rows of a container that a join gives.
    pub output_rows: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { hash_mask: u64::MAX, window_rows: 1 << 16, output_rows: 1 << 16 }
    }
}

/// Arrange by the columns `keys`: rows that agree on them meet on one worker. The arrangement's
/// key columns are those at the given positions, in that order, its value columns the others in
/// theirs. Without keys there is one group, on one worker.
pub fn arrange<'s>(stream: Stream<'s, Time, Updates>, keys: &[usize], name: &str) -> Arranged<'s> {
    arrange_tuned(stream, exchange(keys.to_vec()), keys, name, Tuning::default())
}

/// [`arrange`] for rows that already are where they belong.
pub fn arrange_local<'s>(
    stream: Stream<'s, Time, Updates>,
    keys: &[usize],
    name: &str,
) -> Arranged<'s> {
    arrange_tuned(stream, Pipeline, keys, name, Tuning::default())
}

/// [`arrange`] with everything chosen: the exchange, the size of chunks, the tuning.
pub fn arrange_tuned<'s, const ROWS: usize>(
    stream: Stream<'s, Time, Updates>,
    pact: impl ParallelizationContract<Time, Updates>,
    keys: &[usize],
    name: &str,
    tuning: Tuning,
) -> Arranged<'s, ROWS> {
    let keys = keys.to_vec();
    arrange_core(stream, pact, name, move |logger, operator| KeyedBatcher::<ROWS> {
        keys,
        hash_mask: tuning.hash_mask,
        inner: MergeBatcher::new(logger, operator),
    })
}

/// The changes of an arrangement: its key columns, then its value columns.
pub fn updates_of<'s, const ROWS: usize>(
    arranged: &Arranged<'s, ROWS>,
) -> Stream<'s, Time, Updates> {
    let stream = arranged.stream.clone();
    stream.unary::<NoopBuilder<Updates>, _, _, _>(Pipeline, "Updates", |_, _| {
        move |input, output| {
            input.for_each(|time, spans| {
                let mut session = output.session_with_builder(&time);
                for batch in spans.drain(..).filter_map(|span| span.inner) {
                    for chunk in &batch.chunks {
                        session.give_container(&mut chunk.run().to_updates());
                    }
                }
            });
        }
    })
}

/// Differential's merge batcher, told which columns are the key.
struct KeyedBatcher<const ROWS: usize> {
    keys: Vec<usize>,
    hash_mask: u64,
    inner: MergeBatcher<Chunker<ROWS>, ChunkMerger<Chunk<SORTING, ROWS>>, SealTrace>,
}

impl<const ROWS: usize> Extract for KeyedBatcher<ROWS> {
    type Time = Time;
    type Output = Batch<ROWS>;

    fn extract<'a>(
        &'a mut self,
        upper: AntichainRef<'_, Time>,
    ) -> (Option<Batch<ROWS>>, AntichainRef<'a, Time>) {
        self.inner.extract(upper)
    }
}

impl<const ROWS: usize> Batcher<Updates> for KeyedBatcher<ROWS> {
    fn insert(&mut self, container: &mut Updates) {
        if !container.is_empty() {
            let updates = std::mem::take(container);
            self.inner.insert(&mut Some(Unsorted::split(updates, &self.keys, self.hash_mask)));
        }
    }
}

/// Collects changes until sorting them is worth it.
struct Chunker<const ROWS: usize> {
    pending: Vec<Unsorted>,
    rows: usize,
    ready: VecDeque<Chunk<SORTING, ROWS>>,
    /// What `extract` lends out.
    lent: Option<Chunk<SORTING, ROWS>>,
}

impl<const ROWS: usize> Default for Chunker<ROWS> {
    fn default() -> Self {
        Chunker { pending: vec![], rows: 0, ready: VecDeque::new(), lent: None }
    }
}

impl<const ROWS: usize> Chunker<ROWS> {
    fn sort(&mut self) {
        let all = Unsorted::concat(std::mem::take(&mut self.pending));
        self.rows = 0;
        self.ready.extend(all.and_then(|all| all.sorted()).map(Chunk::new));
    }
}

impl<const ROWS: usize> PushInto<&mut Option<Unsorted>> for Chunker<ROWS> {
    fn push_into(&mut self, changes: &mut Option<Unsorted>) {
        if let Some(changes) = changes.take() {
            self.rows += changes.hashes.len();
            self.pending.push(changes);
            if self.rows >= 4 * ROWS {
                self.sort();
            }
        }
    }
}

impl<const ROWS: usize> ContainerBuilder for Chunker<ROWS> {
    type Container = Chunk<SORTING, ROWS>;

    fn extract(&mut self) -> Option<&mut Self::Container> {
        self.lent = self.ready.pop_front();
        self.lent.as_mut()
    }

    fn finish(&mut self) -> Option<&mut Self::Container> {
        if self.rows > 0 {
            self.sort();
        }
        self.extract()
    }
}

/// Makes batcher chunks trace chunks.
struct SealTrace;

impl<const ROWS: usize> Sealer<Chunk<SORTING, ROWS>> for SealTrace {
    type Output = Batch<ROWS>;

    fn seal(chain: &mut Vec<Chunk<SORTING, ROWS>>) -> Option<Batch<ROWS>> {
        let chunks = std::mem::take(chain).into_iter().map(Chunk::into_use::<KEPT>);
        let chunks = settle_all(chunks.filter(|chunk| chunk.len() > 0));
        (!chunks.is_empty()).then(|| Batch::new(chunks))
    }
}
