//! The same state, kept in columns by `arrangement` and in rows by differential's own `OrdVal`
//! trace: arranged, reduced to the greatest value per key, joined.
//!
//! A row is a key and five integers. Keys are 64 bits wide and values of one size, which is the
//! best case for rows: nothing of them is on the heap.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrangement::{Evaluate, Evaluated, Groups, Lane, Updates, arrange, join, reduce};
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use differential_dataflow::input::Input as _;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use schemas::Time;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use crate::turns::{Seat, Way, sized, take_turns};

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The rows, by key.
    Arranged,
    /// The greatest first value of each key.
    Greatest,
    /// The rows with the name of their key.
    Joined,
}

/// What a seat is asked to do.
#[derive(Clone, Debug)]
enum Asked {
    /// All rows, from nothing.
    Load,
    /// Rows that are taken back and come again with another value.
    Change { rows: Vec<i64>, round: u64 },
}

/// How many keys, and rows of each.
#[derive(Clone, Copy, Debug)]
struct Size {
    keys: i64,
    rows_each: i64,
}

/// A key and its values.
type Row = (i64, [i64; 5]);
/// Does what a seat is asked to; what it took.
type Work = Box<dyn FnMut(&mut Worker, &Asked) -> Duration>;

/// The key and the values of row `id`.
fn row(id: i64, keys: i64, shift: i64) -> Row {
    let value = (id * 31 + shift * 7_919).rem_euclid(1_000_003);
    (id % keys, [value, id / keys, id * 17 % 1_000, id * 7 % 1_000, 1])
}

fn updates(ids: &[i64], keys: i64, time: Time, count: i64, shift: i64) -> Updates {
    let rows: Vec<Row> = ids.iter().map(|id| row(*id, keys, shift)).collect();
    let column = |f: &dyn Fn(&Row) -> i64| {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(f))) as ArrayRef
    };
    let mut columns = vec![column(&|r| r.0)];
    columns.extend((0..5).map(|i| column(&|r| r.1[i])));
    let n = ids.len();
    Updates::new(columns, Lane::constant(time, n), Lane::constant(count, n))
}

/// The greatest of the first values.
struct Greatest;

impl Evaluate for Greatest {
    fn evaluate(&mut self, groups: Groups<'_>) -> Evaluated {
        let values = groups.values[0].as_primitive::<Int64Type>().values();
        let mut start = 0;
        let greatest = groups.ends.iter().map(|end| {
            let rows = start..*end;
            start = *end;
            rows.map(|r| values[r]).max().unwrap_or(i64::MIN)
        });
        let column = Arc::new(Int64Array::from_iter_values(greatest)) as ArrayRef;
        Evaluated { columns: vec![column], ends: (1..=groups.ends.len()).collect() }
    }
}

/// Rows that come at once.
const AT_ONCE: usize = 1 << 16;

fn in_columns(
    worker: &mut Worker,
    kept: Kept,
    size: Size,
) -> impl FnMut(&mut Worker, &Asked) -> Duration + use<> {
    let mut facts = InputHandle::<Time, CapacityContainerBuilder<Updates>>::new();
    let mut names = InputHandle::<Time, CapacityContainerBuilder<Updates>>::new();
    let probe = ProbeHandle::new();
    worker.dataflow::<Time, _, _>(|scope| {
        let arranged = arrange(scope.input_from(&mut facts), &[0], "Facts");
        let names = arrange(scope.input_from(&mut names), &[0], "Names");
        match kept {
            Kept::Arranged => drop(arranged.stream.probe_with(&probe)),
            Kept::Greatest => {
                drop(reduce(&arranged, "Greatest", Box::new(Greatest)).probe_with(&probe))
            }
            Kept::Joined => drop(join(&arranged, &names, "Join").probe_with(&probe)),
        }
    });
    let keys = size.keys;
    let mut time = 0;
    move |worker, asked| {
        let mut named = Updates::default();
        let mut given = vec![];
        match asked {
            Asked::Load => {
                named = updates(&(0..keys).collect::<Vec<_>>(), keys, time, 1, 0);
                let all: Vec<i64> = (0..keys * size.rows_each).collect();
                given.extend(all.chunks(AT_ONCE).map(|some| updates(some, keys, time, 1, 0)));
            }
            Asked::Change { rows, round } => {
                given.push(updates(rows, keys, time, -1, 0));
                given.push(updates(rows, keys, time, 1, 1 + *round as i64));
            }
        }
        let began = Instant::now();
        names.send_batch(&mut named);
        for mut some in given {
            facts.send_batch(&mut some);
            worker.step();
        }
        time += 1;
        facts.advance_to(time);
        names.advance_to(time);
        while probe.less_than(&time) {
            worker.step();
        }
        began.elapsed()
    }
}

type InRows<'s> = Arranged<'s, TraceAgent<ValSpine<i64, [i64; 5], Time, i64>>>;

fn greatest_in_rows(arranged: InRows<'_>, probe: &ProbeHandle<Time>) {
    type Out = ValSpine<i64, i64, Time, i64>;
    let greatest = arranged.reduce_abelian::<_, ValBuilder<_, _, _, _>, Out, _, _>(
        "Greatest",
        |_, input, output| {
            let greatest = input.iter().map(|(v, _)| v[0]).max();
            output.extend(greatest.map(|v| (v, 1)));
        },
        |vec, key: &i64, found| {
            vec.clear();
            vec.extend(found.drain(..).map(|(v, t, r)| ((*key, v), t, r)));
        },
    );
    greatest.as_collection(|k: &i64, v: &i64| (*k, *v)).probe_with(probe);
}

fn in_rows(
    worker: &mut Worker,
    kept: Kept,
    size: Size,
) -> impl FnMut(&mut Worker, &Asked) -> Duration + use<> {
    let probe = ProbeHandle::new();
    let (mut facts, mut names) = worker.dataflow::<Time, _, _>(|scope| {
        let (facts, rows) = scope.new_collection::<Row, i64>();
        let (names, named) = scope.new_collection::<Row, i64>();
        let arranged = rows.arrange_by_key();
        let named = named.arrange_by_key();
        match kept {
            Kept::Arranged => drop(arranged.stream.probe_with(&probe)),
            Kept::Greatest => greatest_in_rows(arranged, &probe),
            Kept::Joined => {
                let joined = arranged
                    .join_core(named, |k: &i64, a: &[i64; 5], b: &[i64; 5]| Some((*k, *a, *b)));
                joined.probe_with(&probe);
            }
        }
        (facts, names)
    });
    let keys = size.keys;
    let mut time = 0;
    move |worker, asked| {
        let mut named = vec![];
        let given: Vec<(Row, i64)> = match asked {
            Asked::Load => {
                named.extend((0..keys).map(|id| row(id, keys, 0)));
                (0..keys * size.rows_each).map(|id| (row(id, keys, 0), 1)).collect()
            }
            Asked::Change { rows, round } => {
                let taken = rows.iter().map(|id| (row(*id, keys, 0), -1));
                taken.chain(rows.iter().map(|id| (row(*id, keys, 1 + *round as i64), 1))).collect()
            }
        };
        let began = Instant::now();
        named.into_iter().for_each(|row| names.update(row, 1));
        for some in given.chunks(AT_ONCE) {
            some.iter().for_each(|(row, diff)| facts.update(*row, *diff));
            facts.flush();
            worker.step();
        }
        time += 1;
        facts.advance_to(time);
        names.advance_to(time);
        facts.flush();
        names.flush();
        while probe.less_than(&time) {
            worker.step();
        }
        began.elapsed()
    }
}

/// A worker on a thread of its own, which keeps rows one way or the other.
fn seat(columns: bool, kept: Kept, size: Size) -> Seat<Asked> {
    Seat::new(move |asked, answer| {
        // timely wants to share what it is given; nobody else does.
        let asked = Mutex::new(asked);
        timely::execute_directly(move |worker| {
            let mut work: Work = match columns {
                true => Box::new(in_columns(worker, kept, size)),
                false => Box::new(in_rows(worker, kept, size)),
            };
            for what in asked.into_inner().unwrap_or_else(PoisonError::into_inner) {
                answer.send(work(worker, &what)).unwrap_or_default();
            }
        });
    })
}

/// Compare the two: loading all rows, then replacing a thousandth of them, scattered over all keys,
/// and 64 of them.
pub fn compare(kept: Kept) {
    let size = Size { keys: sized(20_000, 5_000), rows_each: 50 };
    let rows = size.keys * size.rows_each;
    let names = ["differential, OrdVal over rows", "arrangement, columns"];
    let load = |columns: bool| -> Box<dyn FnMut(u64) -> Duration> {
        Box::new(move |_| seat(columns, kept, size).ask(Asked::Load))
    };
    let ways = |of: &dyn Fn(bool) -> Box<dyn FnMut(u64) -> Duration>| -> Vec<Way<'static>> {
        [false, true].into_iter().map(|c| (names[usize::from(c)].to_string(), of(c))).collect()
    };
    take_turns(&format!("{kept:?}: {rows} rows loaded"), sized(5, 3), ways(&load));
    let scattered = |n: i64| usize::try_from(rows / n - 1).unwrap_or(1);
    for (what, step) in [("a thousandth", scattered(rows / 1_000)), ("64 rows", scattered(64))] {
        let change = |columns: bool| -> Box<dyn FnMut(u64) -> Duration> {
            let seat = seat(columns, kept, size);
            seat.ask(Asked::Load);
            Box::new(move |round| {
                let changed = (0..rows).skip(round as usize).step_by(step).collect();
                // The same rows in both: each is taken back in its first version, once.
                seat.ask(Asked::Change { rows: changed, round })
            })
        };
        let job = format!("{kept:?}: {what} of {rows} rows replaced");
        take_turns(&job, sized(30, 15), ways(&change));
    }
}
