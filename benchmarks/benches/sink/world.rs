//! A view like `campaign_features`: what campaigns did each hour, and sums over trailing hours.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// (campaign, hour)
pub type Cell = (usize, usize);

pub const TIME_COLUMN: usize = 3;
const HOUR_US: i64 = 3_600_000_000;
const MEASURES: [&str; 5] = ["impressions", "clicks", "cost_micros", "conversions", "value_micros"];
/// Hours, and how many of the measures are summed over them.
const WINDOWS: [(usize, usize); 3] = [(24, 4), (168, 5), (672, 3)];
const RATIOS: usize = 7;

pub fn schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("campaign_id", DataType::Utf8, true),
        Field::new("platform", DataType::Utf8, true),
        Field::new("currency", DataType::Utf8, true),
        Field::new("metric_hour", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("reported", DataType::Boolean, true),
    ];
    fields.extend(MEASURES.iter().map(|m| Field::new(*m, DataType::Int64, true)));
    for (hours, measures) in WINDOWS {
        let names = MEASURES[5 - measures..].iter().map(|m| format!("{m}_{hours}h"));
        fields.extend(names.map(|name| Field::new(name, DataType::Int64, true)));
    }
    let ratios = (0..RATIOS).map(|r| Field::new(format!("ratio_{r}"), DataType::Float64, true));
    fields.extend(ratios);
    assert_eq!(fields.len(), 29);
    Arc::new(Schema::new(fields))
}

pub struct World {
    hours: usize,
    /// Per campaign and measure, the sums of the first hours.
    sums: Vec<[Vec<i64>; 5]>,
}

fn noise(seed: u64) -> u64 {
    let mixed = u128::from(seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xD1B5_4A32_D192_ED03_F39C);
    (mixed as u64) ^ ((mixed >> 64) as u64)
}

impl World {
    pub fn new(campaigns: usize, hours: usize) -> World {
        let sums = |c: usize| {
            let mut sums: [Vec<i64>; 5] = std::array::from_fn(|_| vec![0]);
            for hour in 0..hours {
                let n = noise((c * 100_003 + hour) as u64);
                let daily = 10 + (hour % 24).min(24 - hour % 24) as u64;
                let impressions = daily * (20 + noise(c as u64) % 400) + n % 97;
                let clicks = impressions * (5 + (n >> 8) % 10) / 500;
                let cost = clicks * (300_000 + (n >> 16) % 70_000);
                let conversions = clicks * ((n >> 32) % 8) / 100;
                let value = conversions * (20_000_000 + (n >> 40) % 9_000_000);
                let measures = [impressions, clicks, cost, conversions, value];
                for (sums, measure) in sums.iter_mut().zip(measures) {
                    sums.push(sums[hour] + measure as i64);
                }
            }
            sums
        };
        World { hours, sums: (0..campaigns).map(sums).collect() }
    }

    /// All cells, as the engine puts them out: by campaign, then by hour.
    pub fn cells(&self) -> Vec<Cell> {
        (0..self.sums.len()).flat_map(|c| (0..self.hours).map(move |h| (c, h))).collect()
    }

    /// The cells come, as stated in `version`.
    pub fn insertions(&self, cells: &[Cell], version: i64) -> (RecordBatch, Vec<i64>) {
        (self.batch(cells, version), vec![1; cells.len()])
    }

    /// The cells go, as stated in `version`.
    pub fn retractions(&self, cells: &[Cell], version: i64) -> (RecordBatch, Vec<i64>) {
        (self.batch(cells, version), vec![-1; cells.len()])
    }

    fn batch(&self, cells: &[Cell], version: i64) -> RecordBatch {
        let text = |f: &dyn Fn(usize) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(cells.iter().map(|c| f(c.0))))
        };
        let at = cells.iter().map(|c| c.1 as i64 * HOUR_US);
        let mut columns: Vec<ArrayRef> = vec![
            text(&|c| format!("c{c:05}")),
            text(&|c| ["google", "meta", "tiktok", "amazon", "linkedin"][c % 5].to_string()),
            text(&|c| ["USD", "EUR", "JPY"][c % 3].to_string()),
            Arc::new(TimestampMicrosecondArray::from_iter_values(at)),
            Arc::new(BooleanArray::from_iter(cells.iter().map(|c| Some((c.0 + c.1) % 29 != 0)))),
        ];
        let over = |measure: usize, hours: usize, c: &Cell| {
            let sums = &self.sums[c.0][measure];
            sums[c.1 + 1] - sums[(c.1 + 1).saturating_sub(hours)]
        };
        let mut sum = |measure: usize, hours: usize, version: i64| {
            let values = cells.iter().map(|c| over(measure, hours, c) + version);
            columns.push(Arc::new(Int64Array::from_iter_values(values)));
        };
        (0..5).for_each(|m| sum(m, 1, version));
        for (hours, measures) in WINDOWS {
            (5 - measures..5).for_each(|m| sum(m, hours, version));
        }
        for ratio in 0..RATIOS {
            let (above, hours) = (ratio % 4 + 1, [24, 168, 672][ratio % 3]);
            let values = cells.iter().map(|c| {
                let (n, of) = (over(above, hours, c), over(above - 1, hours, c));
                (of != 0).then(|| n as f64 / of as f64)
            });
            columns.push(Arc::new(Float64Array::from_iter(values)));
        }
        RecordBatch::try_new(schema(), columns).expect("columns fit")
    }
}
