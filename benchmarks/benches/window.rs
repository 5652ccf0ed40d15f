//! Rolling sums of 24 hours and 7 days, a median and a lag: loaded, and kept right when hours are
//! restated, beside computing them from scratch.
//!
//!     cargo bench --workspace --bench window [-- --quick]
//!
//! The baseline is DataFusion over the whole table in memory; so is what `tidewatch verify` does.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use sql::{Catalog, Oracle, parse};
use tidewatch_benchmarks::Dataflow;
use tidewatch_benchmarks::turns::{Way, sized, take_turns, timed};
use tokio::runtime::Runtime;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SQL: &str = "
CREATE SOURCE facts (k BIGINT, ts TIMESTAMP, clicks BIGINT, cost BIGINT, _diff BIGINT NOT NULL)
    WITH (location = 'facts/', format = 'parquet', mode = 'changes');
CREATE MATERIALIZED VIEW features AS SELECT k, ts, clicks, cost,
    sum(clicks) OVER day AS clicks_24h, sum(cost) OVER day AS cost_24h,
    sum(clicks) OVER week AS clicks_7d, sum(cost) OVER week AS cost_7d,
    median(cost) OVER day AS cost_median_24h,
    lag(cost, 1) OVER (PARTITION BY k ORDER BY ts) AS cost_before
FROM facts
WINDOW day AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW),
       week AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '167 hours' PRECEDING AND CURRENT ROW);
";
const HOUR_US: i64 = 3_600_000_000;
const HOURS: i64 = 2_000;

/// (k, hour, version, diff)
type Fact = (i64, i64, i64, i64);

/// A restatement: the row as it was, and as it is.
fn restated(k: i64, hour: i64) -> [Fact; 2] {
    [(k, hour, 0, -1), (k, hour, 1, 1)]
}

fn batch(facts: &[Fact], with_diff: bool) -> RecordBatch {
    let column = |f: fn(&Fact) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(facts.iter().map(f)))
    };
    let noise = |f: &Fact| (f.0 * 7_919 + f.1 * 104_729 + f.2 * 1_299_709).rem_euclid(1_000);
    let hours = facts.iter().map(|f| f.1 * HOUR_US);
    let cost = Int64Array::from_iter_values(facts.iter().map(|f| noise(f) * 31));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("k", column(|f| f.0)),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(hours))),
        ("clicks", Arc::new(Int64Array::from_iter_values(facts.iter().map(noise)))),
        ("cost", Arc::new(cost)),
    ];
    if with_diff {
        columns.push(("_diff", column(|f| f.3)));
    }
    RecordBatch::try_from_iter(columns).expect("columns fit")
}

fn main() {
    let partitions = sized(200, 15);
    let all: Vec<Fact> =
        (0..partitions).flat_map(|k| (0..HOURS).map(move |h| (k, h, 0, 1))).collect();
    let catalog = Catalog::new(parse(SQL, "bench").expect("SQL")).expect("SQL");
    let runtime = Runtime::new().expect("a runtime");
    let scratch = |_| -> Duration {
        let mut oracle = Oracle::new(&catalog);
        oracle.provide("facts", vec![batch(&all, false)]).expect("rows");
        timed(|| runtime.block_on(oracle.rows("features")).expect("it runs")).0
    };
    let load = || -> Dataflow {
        let mut flow = Dataflow::new(SQL);
        flow.absorb("facts", vec![batch(&all, true)]);
        flow
    };
    let rows = all.len();
    let baseline = "DataFusion, from scratch".to_string();
    let ours: Way<'_> = ("maintained".to_string(), {
        let given = batch(&all, true);
        Box::new(move |_| Dataflow::new(SQL).absorb("facts", vec![given.clone()]).0)
    });
    let rounds = sized(5, 3);
    let ways = vec![(baseline.clone(), Box::new(scratch) as _), ours];
    take_turns(&format!("window: {rows} rows from nothing"), rounds, ways);
    for (what, each) in [("one hour", i64::MAX), ("a thousandth of the hours", 1_009)] {
        let mut flow = load();
        let maintained = |round: u64| {
            let hours = (round as i64 * 7 + 500..).step_by(each.min(1 << 40) as usize);
            let all = i64::try_from(rows).unwrap_or(i64::MAX);
            let facts: Vec<Fact> = hours
                .take_while(|at| *at < all)
                .flat_map(|at| restated(at / HOURS, at % HOURS))
                .collect();
            flow.absorb("facts", vec![batch(&facts, true)]).0
        };
        let ways: Vec<Way<'_>> = vec![
            (baseline.clone(), Box::new(scratch)),
            ("maintained".to_string(), Box::new(maintained)),
        ];
        take_turns(&format!("window: {what} restated of {rows}"), rounds, ways);
    }
}
