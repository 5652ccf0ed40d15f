//! arrange, reduce and join, at every time, against a recomputation from all changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, UInt32Array, make_comparator};
use arrow::compute::{SortOptions, take};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use schemas::Time;
use tidewatch_arrangement::Budget;
use tidewatch_arrangement::spill;
use tidewatch_arrangement::{
    Arranged, Batch, Evaluate, Evaluated, Groups, Lane, Tuning, Updates, arrange, arrange_tuned,
    exchange, join, join_tuned, reduce_tuned, updates_of,
};
use timely::container::{CapacityContainerBuilder, NoopBuilder};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::{Input, Inspect, Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, Stream};
use timely::{CommunicationConfig, Config};

use crate::rows::*;

/// How a dataflow runs.
#[derive(Clone, Copy)]
struct Setting {
    communication: fn() -> CommunicationConfig,
    hash_mask: u64,
    spilled: bool,
}

const ALONE: fn() -> CommunicationConfig = || CommunicationConfig::Thread;
const THREADS: fn() -> CommunicationConfig = || CommunicationConfig::Process(2);
const SERIALISED: fn() -> CommunicationConfig = || CommunicationConfig::ProcessBinary(2);
const FULL: u64 = u64::MAX;

/// A random input: its shape, which columns are the key, and its changes.
struct Side {
    shape: Shape,
    keys: Vec<usize>,
    values: Vec<usize>,
    changes: Vec<Change>,
}

impl Side {
    /// With `key_types` as key columns, somewhere among `values` others.
    fn random(
        rng: &mut StdRng,
        key_types: &Shape,
        values: usize,
        sums: usize,
        each: usize,
    ) -> Self {
        let mut shape = Shape::random(rng, values, sums);
        let mut places: Vec<usize> = (0..key_types.columns.len() + values).collect();
        places.shuffle(rng);
        let (keys, others) = places.split_at(key_types.columns.len());
        let mut columns = vec![None; places.len()];
        for (place, column) in keys.iter().zip(&key_types.columns) {
            columns[*place] = Some(column.clone());
        }
        for (place, column) in others.iter().zip(&shape.columns) {
            columns[*place] = Some(column.clone());
        }
        shape.columns = columns.into_iter().map(Option::unwrap).collect();
        let mut values = others.to_vec();
        values.sort_unstable();
        let changes = shape.changes(rng, TIMES, each);
        Side { keys: keys.to_vec(), values, changes, shape }
    }

    /// Per key the value rows at `time`.
    fn groups(&self, time: Time) -> BTreeMap<Text, BTreeMap<Text, Diffs>> {
        let upto = self.changes.iter().filter(|c| c.time <= time);
        let row = |c: &Change| (self.shape.text(c, &self.keys), self.shape.text(c, &self.values));
        let rows = accumulate(upto.map(|c| (row(c), diff(c))));
        let mut groups: BTreeMap<Text, BTreeMap<Text, Diffs>> = BTreeMap::new();
        for ((key, value), diff) in rows {
            groups.entry(key).or_default().insert(value, diff);
        }
        groups
    }
}

const TIMES: u64 = 12;

/// For a group whose counts add up to no multiple of three: each of its value rows that has a
/// count, beside that total and the total of the first sum.
struct Census;

fn census(group: &BTreeMap<Text, Diffs>) -> Vec<Text> {
    let total = |d: usize| group.values().filter_map(|diff| diff.get(d)).sum::<i128>();
    if total(0) % 3 == 0 {
        return vec![];
    }
    let counted = group.iter().filter(|(_, diff)| diff[0] != 0);
    let totals = [Some(total(0).to_string()), Some(total(1).to_string())];
    counted.map(|(value, _)| value.iter().cloned().chain(totals.clone()).collect()).collect()
}

impl Evaluate for Census {
    fn evaluate(&mut self, groups: Groups<'_>) -> Evaluated {
        assert!(groups.keys.iter().all(|k| k.len() == groups.ends.len()));
        let (mut rows, mut counts, mut sums, mut ends) = (vec![], vec![], vec![], vec![]);
        let mut start = 0;
        for end in groups.ends {
            assert_strictly_sorted(groups.values, start..*end);
            let count: i64 = groups.counts[start..*end].iter().sum();
            let sum = groups.sums.first().map_or(0, |s| s[start..*end].iter().sum());
            // Backwards and twice: order and repetition are the reduction's business.
            let counted = (start..*end).rev().filter(|r| groups.counts[*r] != 0);
            for row in counted.filter(|_| count % 3 != 0).flat_map(|row| [row, row]) {
                rows.push(row as u32);
                counts.push(count);
                sums.push(sum);
            }
            ends.push(rows.len());
            start = *end;
        }
        let rows = UInt32Array::from(rows);
        let mut columns: Vec<ArrayRef> =
            groups.values.iter().map(|c| take(c, &rows, None).unwrap()).collect();
        columns.push(Arc::new(Int64Array::from(counts)));
        let sums = Decimal128Array::from(sums).with_precision_and_scale(38, 0);
        columns.push(Arc::new(sums.unwrap()));
        Evaluated { columns, ends }
    }
}

fn assert_strictly_sorted(columns: &[ArrayRef], rows: std::ops::Range<usize>) {
    assert!(!rows.is_empty());
    let options = SortOptions::default();
    let compare: Vec<_> = columns.iter().map(|c| make_comparator(c, c, options).unwrap()).collect();
    for row in rows.clone().skip(1) {
        let order = compare.iter().map(|c| c(row - 1, row)).find(|o| o.is_ne());
        assert_eq!(order, Some(std::cmp::Ordering::Less), "rows {rows:?}");
    }
}

/// What left the dataflow, per output.
type Log = Arc<Mutex<[Vec<Seen>; 3]>>;

fn record(
    stream: Stream<'_, Time, Updates>,
    log: &Log,
    output: usize,
    most_rows: usize,
) -> ProbeHandle<Time> {
    let log = Arc::clone(log);
    let probe = ProbeHandle::new();
    let logged = stream.unary::<NoopBuilder<Updates>, _, _, _>(Pipeline, "Log", move |_, _| {
        move |input, _| {
            input.for_each(|_, updates| {
                assert!(updates.len() <= most_rows, "{} rows in a container", updates.len());
                log.lock().unwrap()[output].extend(seen(updates));
            });
        }
    });
    logged.probe_with(&probe);
    probe
}

/// A batch's chunks are graded, and their rows in order and distinct.
fn check_batch<const ROWS: usize>(batch: &Batch<ROWS>) {
    assert!(differential_dataflow::trace::chunk::is_graded(&batch.chunks));
    for pair in batch.chunks.windows(2) {
        assert!(pair[0].last_hash() <= pair[1].first_hash());
    }
    for chunk in &batch.chunks {
        let run = chunk.run();
        assert!(run.hashes().is_sorted());
        assert_eq!(run.key_end(run.key_count() - 1), run.len());
        let zero = |r| run.count().get(r) == 0 && run.sums().iter().all(|s| s.get(r) == 0);
        assert!(!(0..run.len()).any(zero));
    }
}

/// Runs both sides through arrange, reduce and join, and compares each output at each time.
/// Returns how many rows were compared.
fn check<const ROWS: usize>(seed: u64, setting: Setting) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let rng = &mut rng;
    let sums = if rng.random_bool(0.3) { rng.random_range(1..3) } else { 0 };
    let key_count = rng.random_range(0..3);
    let key_types = Shape::random(rng, key_count, 0);
    let each = [3, 12, 40][rng.random_range(0..3)];
    let (left_values, right_values) = (rng.random_range(0..4), rng.random_range(0..3));
    let left = Arc::new(Side::random(rng, &key_types, left_values, sums, each));
    let right = Arc::new(Side::random(rng, &key_types, right_values, 0, each / 3 + 1));
    let tuning = Tuning {
        hash_mask: setting.hash_mask,
        window_rows: [1, 7, 100, 1 << 16][rng.random_range(0..4)],
        output_rows: [1, 5, 1 << 16][rng.random_range(0..3)],
    };
    let stride = rng.random_range(1..5);
    let log = Log::default();
    run::<ROWS>([&left, &right], tuning, stride, setting, &log);
    let log = log.lock().unwrap();
    let mut compared = 0;
    for time in 0..TIMES {
        for (output, want) in meaning(&left, &right, time).into_iter().enumerate() {
            let upto = log[output].iter().filter(|s| s.time <= time);
            let got = accumulate(upto.map(|s| (s.row.clone(), s.diff.clone())));
            assert_eq!(got, want, "seed {seed}, output {output} at time {time}");
            compared += want.len();
        }
    }
    compared
}

/// The arrangement, the census and the join, recomputed.
fn meaning(left: &Side, right: &Side, time: Time) -> [BTreeMap<Text, Diffs>; 3] {
    let (left_groups, right_groups) = (left.groups(time), right.groups(time));
    let row = |key: &Text, value: &Text| [&key[..], &value[..]].concat();
    let mut arranged = vec![];
    let mut reduced = vec![];
    let mut joined = vec![];
    for (key, group) in &left_groups {
        arranged.extend(group.iter().map(|(value, diff)| (row(key, value), diff.clone())));
        reduced.extend(census(group).iter().map(|value| (row(key, value), vec![1])));
        if left.shape.sums > 0 {
            continue;
        }
        for (l, n) in group {
            let matches = right_groups.get(key).into_iter().flatten();
            joined.extend(matches.map(|(r, m)| (row(&row(key, l), r), vec![n[0] * m[0]])));
        }
    }
    [arranged, reduced, joined].map(accumulate)
}

fn run<const ROWS: usize>(
    [left, right]: [&Arc<Side>; 2],
    tuning: Tuning,
    stride: u64,
    setting: Setting,
    log: &Log,
) {
    let (left, right, log) = (Arc::clone(left), Arc::clone(right), Arc::clone(log));
    let config = Config { communication: (setting.communication)(), worker: Default::default() };
    let guards = timely::execute(config, move |worker| {
        let directory = tempfile::tempdir().unwrap();
        let disk = || Box::new(Budget::new(directory.path(), 0).unwrap()) as Box<_>;
        spill::install(setting.spilled.then(disk));
        let mut inputs =
            [(); 2].map(|()| InputHandle::<Time, CapacityContainerBuilder<Updates>>::new());
        let probes = worker.dataflow::<Time, _, _>(|scope| {
            let [l, r] = inputs.each_mut().map(|input| scope.input_from(input));
            let l: Arranged<'_, ROWS> =
                arrange_tuned(l, exchange(left.keys.clone()), &left.keys, "L", tuning);
            let r: Arranged<'_, ROWS> =
                arrange_tuned(r, exchange(right.keys.clone()), &right.keys, "R", tuning);
            let checked =
                l.stream.clone().inspect(|span| span.inner.iter().for_each(|b| check_batch(b)));
            let mut probes = vec![
                record(updates_of(&l), &log, 0, ROWS),
                record(reduce_tuned(&l, "Census", Box::new(Census), tuning), &log, 1, ROWS),
            ];
            if left.shape.sums == 0 {
                let joined = join_tuned(&l, &r, "Join", tuning);
                probes.push(record(joined, &log, 2, tuning.output_rows));
            }
            checked.probe_with(&probes[0]);
            probes
        });
        let mut time = 0;
        while time < TIMES {
            let end = (time + stride).min(TIMES);
            for (input, side) in inputs.iter_mut().zip([&left, &right]) {
                // Each worker feeds some of the changes, of several times at once.
                let due = side.changes.iter().filter(|c| (time..end).contains(&c.time));
                let mine = due.enumerate().filter(|(i, _)| i % worker.peers() == worker.index());
                let mine: Vec<Change> = mine.map(|(_, c)| c.clone()).collect();
                for some in mine.chunks(11) {
                    input.send_batch(&mut side.shape.updates(some));
                }
                input.advance_to(end);
                input.flush();
            }
            // Now and then catch up, now and then fall behind.
            worker.step();
            while !end.is_multiple_of(3) && probes.iter().any(|p| p.less_than(&end)) {
                worker.step();
            }
            time = end;
        }
        drop(inputs);
        while probes.iter().any(|p| !p.done()) {
            worker.step();
        }
        drop(directory);
    });
    for worker in guards.unwrap().join() {
        worker.unwrap();
    }
}

/// A key with many rows on both sides has more matches than a container, and than memory should
/// hold: they come in containers of bounded size, and the operator goes on where it stopped.
#[test]
fn matches_of_one_hot_key_come_in_bounded_containers() {
    const SIDE: usize = 2_000;
    let rows = Arc::new(Mutex::new((0, 0)));
    let seen = Arc::clone(&rows);
    timely::execute(Config::thread(), move |worker| {
        let mut input = InputHandle::<Time, CapacityContainerBuilder<Updates>>::new();
        let seen = Arc::clone(&seen);
        worker.dataflow::<Time, _, _>(|scope| {
            let stream = scope.input_from(&mut input);
            let sides = arrange(stream, &[], "Everything");
            let matches = join(&sides, &sides, "Hot");
            matches.unary::<NoopBuilder<Updates>, _, _, _>(Pipeline, "Count", move |_, _| {
                move |input, _| {
                    input.for_each(|_, updates| {
                        let mut seen = seen.lock().unwrap();
                        *seen = (seen.0 + updates.len(), seen.1.max(updates.len()));
                    });
                }
            });
        });
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..SIDE as i64));
        let (times, count) = (Lane::constant(0, SIDE), Lane::constant(1, SIDE));
        input.send_batch(&mut Updates::new(vec![column], times, count));
    })
    .unwrap();
    let (total, most) = *rows.lock().unwrap();
    assert_eq!(total, SIDE * SIDE);
    assert!(most <= 1 << 16, "a container of {most} rows");
}

fn check_all(setting: Setting, seeds: std::ops::Range<u64>) {
    let compared: usize =
        seeds.map(|seed| check::<8>(seed, setting) + check::<64>(seed + 1_000_000, setting)).sum();
    assert!(compared > 1000, "only {compared} rows compared");
}

#[test]
fn one_worker_equals_recomputation() {
    check_all(Setting { communication: ALONE, hash_mask: FULL, spilled: false }, 0..200);
}

#[test]
fn colliding_keys_stay_apart() {
    check_all(Setting { communication: ALONE, hash_mask: 1 << 63, spilled: false }, 1000..1100);
    check_all(Setting { communication: ALONE, hash_mask: 0, spilled: false }, 2100..2150);
}

#[test]
fn two_workers_equal_recomputation() {
    check_all(Setting { communication: THREADS, hash_mask: FULL, spilled: false }, 3200..3260);
}

#[test]
fn a_serialised_exchange_changes_nothing() {
    check_all(
        Setting { communication: SERIALISED, hash_mask: 7 << 61, spilled: false },
        4300..4360,
    );
}

#[test]
fn spilled_chunks_read_as_kept_ones() {
    check_all(Setting { communication: ALONE, hash_mask: FULL, spilled: true }, 5400..5450);
}
