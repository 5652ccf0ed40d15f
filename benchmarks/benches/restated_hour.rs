//! One restated hour in partitions of 2,000, 20,000 and 200,000 rows.
//!
//!     cargo bench --workspace --bench restated_hour
//!
//! The frames are bounded (24 hours and 7 days), so what a restatement costs is what its frames
//! cover and not how long the history is. Rounds alternate between the sizes; the median of each
//! is printed as a ratio to the shortest history.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use tidewatch_benchmarks::{Dataflow, median};

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
const SIZES: [i64; 3] = [2_000, 20_000, 200_000];
const ROUNDS: i64 = 60;

/// (k, hour, clicks, cost, diff)
type Fact = (i64, i64, i64, i64, i64);

fn batch(facts: &[Fact]) -> RecordBatch {
    let column = |f: fn(&Fact) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(facts.iter().map(f)))
    };
    let hours = facts.iter().map(|f| f.1 * HOUR_US);
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", stamp, true),
        Field::new("clicks", DataType::Int64, true),
        Field::new("cost", DataType::Int64, true),
        Field::new("_diff", DataType::Int64, true),
    ];
    let columns = vec![
        column(|f| f.0),
        Arc::new(TimestampMicrosecondArray::from_iter_values(hours)) as ArrayRef,
        column(|f| f.2),
        column(|f| f.3),
        column(|f| f.4),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns fit")
}

fn fact(k: i64, hour: i64, version: i64, diff: i64) -> Fact {
    let noise = (k * 7_919 + hour * 104_729 + version * 1_299_709).rem_euclid(1_000);
    (k, hour, noise, noise * 31, diff)
}

fn main() {
    let mut flows: Vec<Dataflow> = SIZES
        .iter()
        .map(|rows| {
            let mut flow = Dataflow::new(SQL);
            // As many rows in all cases: only the length of a partition differs.
            let partitions = SIZES[2] / rows;
            for k in 0..partitions {
                let facts: Vec<Fact> = (0..*rows).map(|h| fact(k, h, 0, 1)).collect();
                flow.absorb("facts", vec![batch(&facts)]);
            }
            flow
        })
        .collect();
    let mut took = vec![vec![]; SIZES.len()];
    let mut changed = vec![0; SIZES.len()];
    for round in 0..ROUNDS {
        // Whoever comes first in a round pays for waking up: they take turns.
        for turn in 0..flows.len() {
            let at = (turn + round as usize) % flows.len();
            let flow = &mut flows[at];
            let hour = SIZES[at] / 2 + round * 5;
            let (time, rows) =
                flow.absorb("facts", vec![batch(&[fact(0, hour, 0, -1), fact(0, hour, 1, 1)])]);
            took[at].push(time);
            changed[at] += rows;
        }
    }
    println!("one restated hour, 24 h and 7 d frames, median of {ROUNDS} alternating rounds");
    println!("{:>14} {:>10} {:>8} {:>14}", "partition rows", "µs", "ratio", "rows changed");
    let base = median(took[0].clone()).as_secs_f64();
    for (at, rows) in SIZES.iter().enumerate() {
        let time = median(took[at].clone()).as_secs_f64();
        let per_round = changed[at] as f64 / ROUNDS as f64;
        println!("{rows:>14} {:>10.0} {:>8.2} {per_round:>14.1}", time * 1e6, time / base);
    }
}
