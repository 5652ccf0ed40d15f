//! The contract of chunks: merging, advancing, settling and extracting, over chains cut at random,
//! against sorted maps of text.

use std::collections::{BTreeMap, VecDeque};

use differential_dataflow::trace::chunk::{Chunk as _, ChunkBatchMerger, is_graded};
use differential_dataflow::trace::implementations::spine_fueled::Merger;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidewatch_arrangement::{Batch, Chunk, KEPT, Run, Updates};
use timely::progress::Antichain;

use crate::rows::*;

const ROWS: usize = 8;
type Kept = Chunk<KEPT, ROWS>;
type Facts = BTreeMap<(Text, u64), Diffs>;

/// Random changes in a chain of chunks of random lengths.
fn chain(rng: &mut StdRng, shape: &Shape, keys: &[usize], hash_mask: u64) -> Vec<Kept> {
    let updates = shape.updates(&shape.changes(rng, 8, 8));
    let Some(run) = Run::sorted(updates, keys, hash_mask) else {
        return vec![];
    };
    let (mut start, mut chunks) = (0, vec![]);
    while start < run.len() {
        let end = (start + rng.random_range(1..=ROWS)).min(run.len());
        chunks.push(Chunk::new(run.slice(start, end)));
        start = end;
    }
    chunks
}

/// What chunks say; panics if a row is there twice, or without a diff, or hashes descend.
fn facts(chunks: &[Kept], lower: u64) -> Facts {
    let updates: Vec<Updates> = chunks.iter().map(|c| c.run().to_updates()).collect();
    let rows: Vec<Seen> = updates.iter().flat_map(seen).collect();
    assert!(chunks.iter().flat_map(|c| c.run().hashes().to_vec()).is_sorted());
    assert!(rows.iter().all(|s| s.diff.iter().any(|d| *d != 0)));
    let length = rows.len();
    let facts: Facts = rows.into_iter().map(|s| ((s.row, s.time), s.diff)).collect();
    assert_eq!(facts.len(), length, "a row is there twice");
    accumulate(facts.into_iter().map(|((row, time), diff)| ((row, time.max(lower)), diff)))
}

fn sum(a: Facts, b: Facts) -> Facts {
    accumulate(a.into_iter().chain(b))
}

fn merged(rng: &mut StdRng, a: Vec<Kept>, b: Vec<Kept>, lower: u64) -> Vec<Kept> {
    let (a, b) = (Batch::new(a), Batch::new(b));
    let mut merger = ChunkBatchMerger::new(&a, &b, Antichain::from_elem(lower).borrow());
    loop {
        let mut fuel = rng.random_range(1..40i32) as isize;
        merger.work(&a, &b, &mut fuel);
        if fuel > 0 {
            return merger.done().map_or(vec![], |batch| batch.chunks);
        }
    }
}

#[test]
fn merged_chunks_hold_the_sum_of_both() {
    let mut compared = 0;
    for seed in 0..1500 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (key_count, values) = (rng.random_range(0..3), rng.random_range(0..3));
        let sums = rng.random_range(0..3) / 2;
        let shape = Shape::random(rng, key_count + values, sums);
        let keys: Vec<usize> = (values..key_count + values).rev().collect();
        let hash_mask = [u64::MAX, 1 << 63, 0][seed as usize % 3];
        let a = chain(rng, &shape, &keys, hash_mask);
        let b = chain(rng, &shape, &keys, hash_mask);
        if a.is_empty() || b.is_empty() {
            continue;
        }
        let lower = rng.random_range(0..9);
        let want = sum(facts(&a, lower), facts(&b, lower));
        let chunks = merged(rng, a, b, lower);
        assert!(is_graded(&chunks));
        assert_eq!(facts(&chunks, 0), want, "seed {seed}");
        check_extract(chunks, rng.random_range(0..9), want);
        compared += 1;
    }
    assert!(compared > 1000);
}

/// Extraction splits by time, and says the least time it kept.
fn check_extract(chunks: Vec<Kept>, upper: u64, want: Facts) {
    let (mut keep, mut ship) = (VecDeque::new(), VecDeque::new());
    let (mut input, mut residual) = (VecDeque::from(chunks), Antichain::new());
    let frontier = Antichain::from_elem(upper);
    while !input.is_empty() {
        Kept::extract(&mut input, frontier.borrow(), &mut residual, &mut keep, &mut ship);
    }
    let (keep, ship) = (facts(&Vec::from(keep), 0), facts(&Vec::from(ship), 0));
    assert!(ship.keys().all(|(_, time)| *time < upper));
    assert_eq!(residual.first().copied(), keep.keys().map(|(_, time)| *time).min());
    assert!(keep.keys().all(|(_, time)| *time >= upper));
    assert_eq!(sum(keep, ship), want);
}

#[test]
fn bodies_go_to_other_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Kept>();
}
