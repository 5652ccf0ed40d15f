//! Updates survive the way between processes.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidewatch_arrangement::{Lane, Updates};
use timely::bytes::arc::BytesMut;
use timely::dataflow::channels::ContainerBytes;

use crate::rows::*;

fn sent(updates: &Updates) -> Updates {
    let mut bytes = Vec::new();
    updates.into_bytes(&mut bytes);
    assert_eq!(bytes.len(), updates.length_in_bytes());
    Updates::from_bytes(BytesMut::from(bytes).freeze())
}

fn facts(updates: &Updates) -> Vec<(Text, u64, Diffs)> {
    seen(updates).into_iter().map(|s| (s.row, s.time, s.diff)).collect()
}

#[test]
fn bytes_give_back_every_type_and_lane() {
    for seed in 0..100 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (columns, sums) = (rng.random_range(0..6), rng.random_range(0..3));
        let shape = Shape::random(rng, columns, sums);
        let updates = shape.updates(&shape.changes(rng, 5, 20));
        assert_eq!(facts(&sent(&updates)), facts(&updates));
        let start = updates.len() / 3;
        let slice = updates.slice(start, updates.len() - start);
        assert_eq!(facts(&sent(&slice)), facts(&slice));
        for (a, b) in sent(&slice).columns.iter().zip(&slice.columns) {
            assert_eq!(a, b);
        }
    }
}

#[test]
fn a_constant_lane_costs_no_column() {
    let rows = 10_000;
    let constant = Updates::with_sums(
        vec![],
        Lane::constant(u64::MAX, rows),
        Lane::constant(-1, rows),
        vec![Lane::constant(i128::MIN, rows)],
    );
    assert!(constant.length_in_bytes() < 1000);
    let back = sent(&constant);
    assert_eq!((back.len(), back.times.get(9_999), back.count.get(0)), (rows, u64::MAX, -1));
    assert!(matches!(back.sums[0], Lane::Constant { value: i128::MIN, .. }));
}

#[test]
fn parts_concatenate_in_order() {
    let rng = &mut StdRng::seed_from_u64(7);
    let shape = Shape::random(rng, 4, 2);
    let all = shape.updates(&shape.changes(rng, 9, 20));
    let cut = all.len() / 2;
    let parts = [all.slice(0, cut), Updates::default(), all.slice(cut, all.len() - cut)];
    assert_eq!(facts(&Updates::concat(&parts)), facts(&all));
}
