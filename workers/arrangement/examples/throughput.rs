//! Rows per second through arrange, a sum per key, and a join: `throughput [KEYS] [HOURS] [ROUNDS]`.
//!
//! One worker; a row is an integer key, an hour and four integers. After the load, each round
//! replaces a thousandth of the rows, scattered over all keys.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use schemas::Time;
use tidewatch_arrangement::{
    Arranged, Evaluate, Evaluated, Groups, Lane, Updates, arrange, join, reduce,
};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, Stream};

/// Sums of the value columns but the first.
struct Sums;

impl Evaluate for Sums {
    fn evaluate(&mut self, groups: Groups<'_>) -> Evaluated {
        let sum = |column: &ArrayRef| {
            let values = column.as_primitive::<Int64Type>().values();
            let mut start = 0;
            let sums = groups.ends.iter().map(|end| {
                let rows = start..*end;
                start = *end;
                rows.map(|r| values[r] * groups.counts[r]).sum::<i64>()
            });
            Arc::new(Int64Array::from_iter_values(sums)) as ArrayRef
        };
        let columns = groups.values[1..].iter().map(sum).collect();
        Evaluated { columns, ends: (1..=groups.ends.len()).collect() }
    }
}

/// Rows `row..row + n` of the table, at `time`, `count` times.
fn rows(ids: &[i64], keys: i64, time: Time, count: i64, shift: i64) -> Updates {
    let column = |f: &dyn Fn(i64) -> i64| {
        Arc::new(Int64Array::from_iter_values(ids.iter().map(|i| f(*i)))) as ArrayRef
    };
    let columns = vec![
        column(&|i| i % keys),
        column(&|i| i / keys),
        column(&|i| i * 31 % 1000 + shift),
        column(&|i| i * 17 % 1000),
        column(&|i| i * 7 % 1000),
        column(&|_| 1),
    ];
    let n = ids.len();
    Updates::new(columns, Lane::constant(time, n), Lane::constant(count, n))
}

fn measure(name: &str, keys: i64, hours: i64, rounds: u64) {
    let name = name.to_owned();
    timely::execute_directly(move |worker| {
        let mut facts = InputHandle::<Time, CapacityContainerBuilder<Updates>>::new();
        let mut names = InputHandle::<Time, CapacityContainerBuilder<Updates>>::new();
        let probe = ProbeHandle::new();
        worker.dataflow::<Time, _, _>(|scope| {
            let facts: Stream<'_, Time, Updates> = scope.input_from(&mut facts);
            let arranged: Arranged<'_> = arrange(facts, &[0], "Facts");
            let names = arrange(scope.input_from(&mut names), &[0], "Names");
            match name.as_str() {
                "sum" => drop(reduce(&arranged, "Sum", Box::new(Sums)).probe_with(&probe)),
                "join" => drop(join(&arranged, &names, "Join").probe_with(&probe)),
                _ => drop(arranged.stream.probe_with(&probe)),
            }
        });
        let all: Vec<i64> = (0..keys * hours).collect();
        let one: Vec<i64> = (0..keys).collect();
        names.send_batch(&mut rows(&one, keys, 0, 1, 0));
        let start = Instant::now();
        for some in all.chunks(1 << 16) {
            facts.send_batch(&mut rows(some, keys, 0, 1, 0));
            worker.step();
        }
        let mut step_until = |time: Time, facts: &mut InputHandle<_, _>| {
            facts.advance_to(time);
            names.advance_to(time);
            while probe.less_than(&time) {
                worker.step();
            }
        };
        step_until(1, &mut facts);
        let seconds = start.elapsed().as_secs_f64();
        let mrows = all.len() as f64 / 1e6;
        let start = Instant::now();
        for round in 1..=rounds {
            let changed: Vec<i64> =
                all.iter().skip(round as usize).step_by(1009).copied().collect();
            facts.send_batch(&mut rows(&changed, keys, round, -1, 0));
            facts.send_batch(&mut rows(&changed, keys, round, 1, 1));
            step_until(round + 1, &mut facts);
        }
        let update_ms = start.elapsed().as_secs_f64() * 1e3 / rounds as f64;
        println!(
            "{name:>8}: {mrows:.2} Mrow in {seconds:.2} s ({:.2} Mrow/s); replace 0.1 %: {update_ms:.1} ms",
            mrows / seconds
        );
    });
}

fn main() {
    let args: Vec<i64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let arg = |i: usize, default| args.get(i).copied().unwrap_or(default);
    for name in ["arrange", "sum", "join"] {
        measure(name, arg(0, 3000), arg(1, 720), arg(2, 10) as u64);
    }
}
