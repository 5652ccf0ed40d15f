//! Random rows of every normal type, and the same rows as text for plain loops.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, IntervalMonthDayNano};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rand::Rng;
use rand::rngs::StdRng;
use schemas::normal::normalize;
use tidewatch_arrangement::{Lane, Updates};

/// A row as text: one entry per column, `None` for null.
pub type Text = Vec<Option<String>>;

/// Some distinct values of each normal type, null among them; of floats also what normal form
/// makes one: both zeros, and NaNs of several bits.
pub fn domains() -> Vec<ArrayRef> {
    let odd_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 5);
    let raw: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(-1), Some(0), Some(i64::MAX), None])),
        Arc::new(Int64Array::from(vec![7, -7, 0, 1 << 40])),
        Arc::new(Int32Array::from(vec![Some(5), Some(i32::MIN), None])),
        Arc::new(Int16Array::from(vec![Some(5), Some(-5), None])),
        Arc::new(Int8Array::from(vec![1, -1, 0])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(0), None])),
        Arc::new(UInt32Array::from(vec![1, 2, 3])),
        Arc::new(UInt16Array::from(vec![1, 2])),
        Arc::new(UInt8Array::from(vec![Some(1), None])),
        Arc::new(Float64Array::from(vec![
            Some(-0.0),
            Some(0.0),
            Some(f64::NAN),
            Some(odd_nan),
            None,
        ])),
        Arc::new(Float64Array::from(vec![1.5, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0])),
        Arc::new(Float32Array::from(vec![Some(-0.0), Some(0.0), Some(f32::NAN), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(StringArray::from(vec![Some(""), Some("a"), Some("a\0"), None])),
        Arc::new(StringArray::from(vec!["campaign-one", "campaign-two", "campaign"])),
        Arc::new(BinaryArray::from_opt_vec(vec![Some(b"".as_slice()), Some(b"\xff\x00"), None])),
        Arc::new(Date32Array::from(vec![Some(20_000), Some(-1), None])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(1), Some(1 << 50), None])
                .with_timezone("+00:00"),
        ),
        Arc::new(TimestampMicrosecondArray::from(vec![0, 3_600_000_000, -1])),
        Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), None])),
        Arc::new(DurationMicrosecondArray::from(vec![Some(-5), Some(5), None])),
        Arc::new(decimals(vec![Some(-1), Some(i128::from(i64::MAX) * 7), Some(0), None])),
        Arc::new(decimals(vec![Some(100), Some(101)])),
        Arc::new(IntervalMonthDayNanoArray::from(vec![
            Some(IntervalMonthDayNano::new(1, 0, 0)),
            Some(IntervalMonthDayNano::new(0, 30, 0)),
            None,
        ])),
        lists(),
        structs(),
    ];
    raw.iter().map(|a| normalize(a).unwrap()).collect()
}

fn decimals(values: Vec<Option<i128>>) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(30, 2).unwrap()
}

/// Lists of nullable integers: null, empty, a list of one null, longer ones.
fn lists() -> ArrayRef {
    let some = |values: Vec<Option<i32>>| Some(values);
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        None,
        some(vec![]),
        some(vec![None]),
        some(vec![Some(1), Some(2)]),
        some(vec![Some(1), None]),
    ]))
}

/// Structs of a float and a list of strings; the null ones hide values that differ.
fn structs() -> ArrayRef {
    let float: Float64Array = vec![Some(0.0), Some(-0.0), None, Some(2.0), Some(3.0)].into();
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let offsets = OffsetBuffer::from_lengths([1, 1, 0, 1, 1]);
    let strings = StringArray::from(vec!["x", "x", "y", "z"]);
    let list = ListArray::new(item, offsets, Arc::new(strings), None);
    let fields = Fields::from(vec![
        Field::new("f", DataType::Float64, true),
        Field::new("l", list.data_type().clone(), true),
    ]);
    let nulls = NullBuffer::from(vec![true, true, true, false, false]);
    Arc::new(StructArray::new(fields, vec![Arc::new(float), Arc::new(list)], Some(nulls)))
}

/// A change to a row, given by its values' places in the domains of its columns.
#[derive(Clone, Debug)]
pub struct Change {
    pub row: Vec<usize>,
    pub time: u64,
    pub count: i64,
    pub sums: Vec<i128>,
}

/// Columns, and how many diff columns there are beside the count.
#[derive(Clone)]
pub struct Shape {
    pub columns: Vec<ArrayRef>,
    pub sums: usize,
}

impl Shape {
    /// `columns` random types.
    pub fn random(rng: &mut StdRng, columns: usize, sums: usize) -> Shape {
        let domains = domains();
        let pick = |_| domains[rng.random_range(0..domains.len())].clone();
        Shape { columns: (0..columns).map(pick).collect(), sums }
    }

    /// A row of random values.
    pub fn row(&self, rng: &mut StdRng) -> Vec<usize> {
        self.columns.iter().map(|c| rng.random_range(0..c.len())).collect()
    }

    /// Insertions and retractions over `times` times, up to `each` at a time; retractions of
    /// rows that are there, and now and then of rows that are not.
    pub fn changes(&self, rng: &mut StdRng, times: u64, each: usize) -> Vec<Change> {
        let (mut live, mut changes): (Vec<Change>, Vec<Change>) = (vec![], vec![]);
        for time in 0..times {
            for _ in 0..rng.random_range(0..=each) {
                if !live.is_empty() && rng.random_bool(0.4) {
                    let mut gone = live.swap_remove(rng.random_range(0..live.len()));
                    (gone.time, gone.count) = (time, -gone.count);
                    gone.sums.iter_mut().for_each(|s| *s = -*s);
                    changes.push(gone);
                } else {
                    let sums = (0..self.sums).map(|_| rng.random_range(-2..=2)).collect();
                    let count = [1, 1, 1, 1, 2, -1, 0][rng.random_range(0..7)];
                    let change = Change { row: self.row(rng), time, count, sums };
                    live.push(change.clone());
                    changes.push(change);
                }
            }
        }
        changes
    }

    /// The changes in columns.
    pub fn updates(&self, changes: &[Change]) -> Updates {
        let column = |(c, domain): (usize, &ArrayRef)| {
            let places = changes.iter().map(|change| change.row[c] as u32);
            take(domain, &UInt32Array::from_iter_values(places), None).unwrap()
        };
        Updates::with_sums(
            self.columns.iter().enumerate().map(column).collect(),
            Lane::each(changes.iter().map(|c| c.time).collect()),
            Lane::each(changes.iter().map(|c| c.count).collect()),
            (0..self.sums)
                .map(|s| Lane::each(changes.iter().map(|c| c.sums[s]).collect()))
                .collect(),
        )
    }

    /// The changed row as text, its columns in the order given.
    pub fn text(&self, change: &Change, order: &[usize]) -> Text {
        order.iter().map(|c| cell(&self.columns[*c], change.row[*c])).collect()
    }
}

/// A value as text. Nulls inside it are spelled out: `[]` is not `[null]`.
pub fn cell(column: &ArrayRef, row: usize) -> Option<String> {
    let options = FormatOptions::new().with_null("null");
    let format = || ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string();
    column.is_valid(row).then(format)
}

/// Row `i` of `columns` as text.
pub fn text(columns: &[ArrayRef], i: usize) -> Text {
    columns.iter().map(|c| cell(c, i)).collect()
}

/// A change in text, as it left a dataflow.
pub struct Seen {
    pub row: Text,
    pub time: u64,
    pub diff: Diffs,
}

/// The count, then the sums.
pub type Diffs = Vec<i128>;

/// What `updates` say.
pub fn seen(updates: &Updates) -> Vec<Seen> {
    let one = |i: usize| Seen {
        row: text(&updates.columns, i),
        time: updates.times.get(i),
        diff: std::iter::once(i128::from(updates.count.get(i)))
            .chain(updates.sums.iter().map(|s| s.get(i)))
            .collect(),
    };
    (0..updates.len()).map(one).collect()
}

/// Adds up diffs per row; rows without any are gone.
pub fn accumulate<K: Ord>(changes: impl IntoIterator<Item = (K, Diffs)>) -> BTreeMap<K, Diffs> {
    let mut total: BTreeMap<K, Diffs> = BTreeMap::new();
    for (row, diff) in changes {
        let sum = total.entry(row).or_insert_with(|| vec![0; diff.len()]);
        sum.iter_mut().zip(&diff).for_each(|(s, d)| *s += d);
    }
    total.retain(|_, diff| diff.iter().any(|d| *d != 0));
    total
}

/// The diff of a change.
pub fn diff(change: &Change) -> Diffs {
    std::iter::once(i128::from(change.count)).chain(change.sums.iter().copied()).collect()
}
