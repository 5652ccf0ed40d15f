//! What a file holds, for readers that skip files (Delta protocol, "Per-file Statistics").

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef, TimeUnit};
use chrono::{DateTime, NaiveDate};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

/// Columns that get statistics, the first ones; Delta's own default.
const COLUMNS_MAX: usize = 32;
/// Strings longer than this have no bounds, lest the log outgrow the table.
const TEXT_BYTES_MAX: usize = 32;

/// Which columns hold NaN. Parquet leaves it out of its bounds, readers of Delta count it as
/// greater than all numbers.
pub(crate) struct NotANumber(Vec<bool>);

impl NotANumber {
    pub(crate) fn new(schema: &SchemaRef) -> NotANumber {
        NotANumber(vec![false; schema.fields().len()])
    }

    /// Look at some values of column `at`.
    pub(crate) fn see(&mut self, at: usize, column: &ArrayRef) {
        // Slots of nulls may hold anything.
        self.0[at] |= match column.data_type() {
            DataType::Float64 => {
                column.as_primitive::<Float64Type>().iter().flatten().any(f64::is_nan)
            }
            DataType::Float32 => {
                column.as_primitive::<Float32Type>().iter().flatten().any(f32::is_nan)
            }
            _ => false,
        };
    }
}

/// `add.stats` of a file: rows, and per simple column bounds and nulls.
pub(crate) fn stats(
    written: &ParquetMetaData,
    stored: &SchemaRef,
    time_column: Option<usize>,
    nan: &NotANumber,
) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let leaves = written.file_metadata().schema_descr();
    for (leaf, column) in leaves.columns().iter().enumerate() {
        let at = leaves.get_column_root_idx(leaf);
        let field = &stored.fields()[at];
        if field.data_type().is_nested() || (at >= COLUMNS_MAX && Some(at) != time_column) {
            continue;
        }
        debug_assert_eq!(column.name(), field.name());
        let groups = written.row_groups().iter().map(|g| g.column(leaf).statistics());
        let Some(groups) = groups.collect::<Option<Vec<_>>>() else { continue };
        let null_count = groups.iter().map(|s| s.null_count_opt()).sum::<Option<u64>>();
        nulls.extend(null_count.map(|n| (field.name().clone(), json!(n))));
        // A group of nulls has no bounds and none to respect.
        let bounded = groups.into_iter().filter(|s| s.min_bytes_opt().is_some());
        let Some(all) = bounded.map(Bound::of).reduce(|a, b| a.and_then(|a| a.widen(b?))).flatten()
        else {
            continue;
        };
        if !nan.0[at]
            && let Some((low, high)) = all.json(field.data_type())
        {
            least.insert(field.name().clone(), low);
            greatest.insert(field.name().clone(), high);
        }
    }
    let rows = written.file_metadata().num_rows();
    json!({"numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls})
        .to_string()
}

/// The least and the greatest value of a column.
enum Bound {
    Integer(i64, i64),
    Float(f64, f64),
    Text(String, String),
}

impl Bound {
    fn of(statistics: &Statistics) -> Option<Bound> {
        Some(match statistics {
            Statistics::Int32(s) => {
                Bound::Integer(i64::from(*s.min_opt()?), i64::from(*s.max_opt()?))
            }
            Statistics::Int64(s) => Bound::Integer(*s.min_opt()?, *s.max_opt()?),
            Statistics::Float(s) => {
                Bound::Float(f64::from(*s.min_opt()?), f64::from(*s.max_opt()?))
            }
            Statistics::Double(s) => Bound::Float(*s.min_opt()?, *s.max_opt()?),
            Statistics::ByteArray(s) => {
                let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_string);
                Bound::Text(text(s.min_opt()?.data())?, text(s.max_opt()?.data())?)
            }
            _ => return None,
        })
    }

    fn widen(self, other: Bound) -> Option<Bound> {
        Some(match (self, other) {
            (Bound::Integer(a, b), Bound::Integer(c, d)) => Bound::Integer(a.min(c), b.max(d)),
            (Bound::Float(a, b), Bound::Float(c, d)) => Bound::Float(a.min(c), b.max(d)),
            (Bound::Text(a, b), Bound::Text(c, d)) => Bound::Text(a.min(c), b.max(d)),
            _ => return None,
        })
    }

    /// Both as Delta writes values of `t`; none for types whose values JSON cannot hold exactly.
    fn json(self, t: &DataType) -> Option<(Value, Value)> {
        match (self, t) {
            (
                Bound::Integer(low, high),
                DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64,
            ) => Some((json!(low), json!(high))),
            (Bound::Integer(low, high), DataType::Date32) => Some((date(low)?, date(high)?)),
            (Bound::Integer(low, high), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
                let zone = if zone.is_some() { "Z" } else { "" };
                Some((moment(low, zone)?, moment(high, zone)?))
            }
            (Bound::Float(low, high), DataType::Float32 | DataType::Float64) => {
                // Parquet calls the least zero negative; stored is only the positive one.
                let finite = low.is_finite() && high.is_finite();
                finite.then(|| (json!(low + 0.0), json!(high + 0.0)))
            }
            (Bound::Text(low, high), DataType::Utf8) => {
                let short = low.len().max(high.len()) <= TEXT_BYTES_MAX;
                short.then(|| (json!(low), json!(high)))
            }
            _ => None,
        }
    }
}

fn date(days: i64) -> Option<Value> {
    let day = NaiveDate::from_epoch_days(i32::try_from(days).ok()?)?;
    plain(day.format("%Y-%m-%d").to_string())
}

fn moment(micros: i64, zone: &str) -> Option<Value> {
    let at = DateTime::from_timestamp_micros(micros)?;
    plain(format!("{}{zone}", at.format("%Y-%m-%dT%H:%M:%S%.6f")))
}

/// Years of other than four digits are not written as readers expect them.
fn plain(text: String) -> Option<Value> {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit).then(|| json!(text))
}
