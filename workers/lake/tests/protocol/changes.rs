//! Random changes of a view against a plain multiset, across restarts and worker counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array,
    Int64Builder, ListBuilder, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use engine::ports::{Committer, Sink, ViewSpec, ViewWriter, WorkerId};
use object_store::memory::InMemory;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tidewatch_lake::Store;
use tidewatch_lake::delta::{Add, Table};
use tidewatch_lake::sink::{DeltaSink, Incarnation, Outside, SinkSettings, table_folder};
use tokio::runtime::{Builder, Handle};

const VIEW: &str = "v";
const DAY_US: i64 = 86_400_000_000;

/// A row as the test sees it; floats by their bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    k: Option<i64>,
    at: Option<i64>,
    name: Option<String>,
    share: Option<u64>,
    big: Option<u64>,
    yes: Option<bool>,
    list: Option<Vec<Option<i64>>>,
}

type Multiset = BTreeMap<Row, i64>;

fn schema() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("name", DataType::Utf8, true),
        Field::new("share", DataType::Float64, true),
        Field::new("big", DataType::UInt64, true),
        Field::new("yes", DataType::Boolean, true),
        Field::new("list", list, true),
    ]))
}

/// Few values, so that rows repeat; many of them awkward.
fn draw(rng: &mut StdRng) -> Row {
    let shares = [0.0, 1.5, -2.25, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE];
    let texts = ["", "a", "a\0", "zwölf", "a text of more than thirty-two bytes, by far"];
    let mut some = |share: f64| rng.random_bool(share);
    let (k, at, name, share) = (some(0.9), some(0.9), some(0.8), some(0.8));
    let (big, yes, list) = (some(0.8), some(0.8), some(0.7));
    let item = |rng: &mut StdRng| rng.random_bool(0.7).then(|| rng.random_range(0..2));
    Row {
        k: k.then(|| rng.random_range(-1..3)),
        at: at.then(|| rng.random_range(-3..25) * DAY_US + rng.random_range(0..2)),
        name: name.then(|| texts[rng.random_range(0..texts.len())].to_string()),
        share: share.then(|| shares[rng.random_range(0..shares.len())].to_bits()),
        big: big.then(|| u64::MAX - rng.random_range(0..2)),
        yes: yes.then(|| rng.random_bool(0.5)),
        list: list.then(|| (0..rng.random_range(0..3)).map(|_| item(rng)).collect()),
    }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let mut list = ListBuilder::new(Int64Builder::new());
    for row in rows {
        list.append_option(row.list.clone());
    }
    let share = rows.iter().map(|r| r.share.map(f64::from_bits));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.k))),
        Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|r| r.at))),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.name.as_deref()))),
        Arc::new(Float64Array::from_iter(share)),
        Arc::new(UInt64Array::from_iter(rows.iter().map(|r| r.big))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.yes))),
        Arc::new(list.finish()),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns fit")
}

/// The rows of a stored batch.
fn rows(batch: &RecordBatch) -> Vec<Row> {
    let there = |c: usize, i: usize| batch.column(c).is_valid(i).then_some(i);
    let list = batch.column(6).as_list::<i32>();
    let items = |i: usize| list.value(i).as_primitive::<Int64Type>().iter().collect();
    let big: &Decimal128Array = batch.column(4).as_primitive::<Decimal128Type>();
    let row = |i: usize| Row {
        k: there(0, i).map(|i| batch.column(0).as_primitive::<Int64Type>().value(i)),
        at: there(1, i)
            .map(|i| batch.column(1).as_primitive::<TimestampMicrosecondType>().value(i)),
        name: there(2, i).map(|i| batch.column(2).as_string::<i32>().value(i).to_string()),
        share: there(3, i)
            .map(|i| batch.column(3).as_primitive::<Float64Type>().value(i).to_bits()),
        big: there(4, i).map(|i| u64::try_from(big.value(i)).expect("it was one")),
        yes: there(5, i).map(|i| batch.column(5).as_boolean().value(i)),
        list: there(6, i).map(items),
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The workers of one incarnation.
struct Workers {
    writers: Vec<Box<dyn ViewWriter>>,
    committer: Box<dyn Committer>,
}

impl Workers {
    fn start(
        runtime: &Handle,
        store: &Store,
        t: u64,
        peers: usize,
        settings: SinkSettings,
    ) -> Self {
        let numbers = Mutex::new(StdRng::seed_from_u64(t));
        let nonce = move || format!("{:016x}", numbers.lock().expect("no panic").random::<u64>());
        let outside = Outside { nonce: Arc::new(nonce), clock_us: Arc::new(|| 1_000_000) };
        let created = BTreeMap::from([(VIEW.to_string(), 1)]);
        let incarnation = Incarnation { epoch: t, created };
        let sink = DeltaSink::new(store.clone(), runtime.clone(), incarnation, settings, outside);
        let view = ViewSpec { name: VIEW.to_string(), schema: schema(), time_column: Some(1) };
        let writer = |index| sink.writer(&view, WorkerId { index, peers }).expect("starts");
        Workers {
            writers: (0..peers).map(writer).collect(),
            committer: sink.committer(std::slice::from_ref(&view)).expect("starts"),
        }
    }

    /// Commit changes, in batches of random sizes.
    fn commit(&mut self, t: u64, changes: &[(Row, i64)], rng: &mut StdRng) {
        let mut rest = changes;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rng.random_range(1..=rest.len()));
            rest = later;
            let all: Vec<Row> = part.iter().map(|c| c.0.clone()).collect();
            let routes = self.writers[0].route(batch(&all).columns()).expect("rows fit");
            let peers = self.writers.len();
            for (index, writer) in self.writers.iter_mut().enumerate() {
                let mine = part.iter().zip(&routes);
                let mine = mine.filter(|(_, n)| **n % peers as u64 == index as u64);
                let (rows, diffs): (Vec<Row>, Vec<i64>) = mine.map(|(c, _)| c.clone()).unzip();
                writer.push(batch(&rows), &diffs).expect("rows fit");
            }
        }
        let staged = self.writers.iter_mut().map(|w| w.stage(t).expect("stages")).collect();
        self.committer.commit(t, staged).expect("commits");
    }
}

/// What turns nothing into `rows`, with detours: copies apart, and rows that come and go.
fn detours(rows: &Multiset, rng: &mut StdRng) -> Vec<(Row, i64)> {
    let mut changes = vec![];
    for (row, copies) in rows.iter().filter(|(_, n)| **n != 0) {
        match rng.random_bool(0.5) {
            true => changes.push((row.clone(), *copies)),
            false => {
                let one = copies.signum();
                changes.extend((0..copies.abs()).map(|_| (row.clone(), one)));
            }
        }
    }
    for _ in 0..rng.random_range(0..5) {
        let (row, copies) = (draw(rng), rng.random_range(1..4));
        changes.extend([(row.clone(), copies), (row, -copies)]);
    }
    changes.shuffle(rng);
    changes
}

/// The committed rows. Checks what each file says of itself.
async fn committed(store: &Store, rows_max: usize) -> (Multiset, BTreeSet<String>) {
    let folder = table_folder(VIEW, 1);
    let table = Table::load(store, &folder, None).await.expect("a whole log");
    let mut all = Multiset::new();
    let mut ranges: BTreeMap<i64, Vec<(u64, u64)>> = BTreeMap::new();
    for (file, add) in &table.files {
        let bytes = store.read(&format!("{folder}/{file}")).await.expect("named files are there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build());
        let mut held = vec![];
        for batch in reader.expect("Parquet") {
            held.extend(rows(&batch.expect("readable")));
        }
        let distinct: BTreeSet<&Row> = held.iter().collect();
        assert!(held.len() <= rows_max || distinct.len() == 1, "{} rows", held.len());
        check_stats(add, &held);
        let tag = |name: &str| add.tags[&format!("tidewatch.{name}")].clone();
        let parsed = |name: &str| tag(name).parse::<u64>().expect("a number");
        let bucket = tag("bucket").parse().expect("a number");
        ranges.entry(bucket).or_default().push((parsed("lo"), parsed("hi")));
        held.into_iter().for_each(|row| *all.entry(row).or_default() += 1);
    }
    for ranges in ranges.values_mut() {
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|two| two[0].1 < two[1].0), "{ranges:?} overlap");
    }
    (all, table.files.into_keys().collect())
}

/// Statistics are exact where they are given, and given where JSON can hold them.
fn check_stats(add: &Add, held: &[Row]) {
    let stats: Value = serde_json::from_str(&add.stats).expect("JSON");
    assert_eq!(stats["numRecords"].as_u64(), Some(held.len() as u64));
    let nulls = |f: fn(&Row) -> bool| Some(held.iter().filter(|r| f(r)).count() as u64);
    assert_eq!(stats["nullCount"]["k"].as_u64(), nulls(|r| r.k.is_none()));
    assert_eq!(stats["nullCount"]["at"].as_u64(), nulls(|r| r.at.is_none()));
    assert_eq!(stats["nullCount"]["share"].as_u64(), nulls(|r| r.share.is_none()));
    let (least, greatest) = (&stats["minValues"], &stats["maxValues"]);
    assert_eq!(least["k"].as_i64(), held.iter().filter_map(|r| r.k).min());
    assert_eq!(greatest["k"].as_i64(), held.iter().filter_map(|r| r.k).max());
    let moment = |at: i64| {
        let at = chrono::DateTime::from_timestamp_micros(at).expect("near");
        Value::from(at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string())
    };
    let ats = || held.iter().filter_map(|r| r.at);
    assert_eq!(least["at"], ats().min().map_or(Value::Null, moment));
    assert_eq!(greatest["at"], ats().max().map_or(Value::Null, moment));
    let shares = held.iter().filter_map(|r| r.share).map(f64::from_bits);
    let shares: Vec<f64> = shares.collect();
    let countable = shares.iter().all(|v| v.is_finite());
    let max = shares.iter().copied().reduce(f64::max).filter(|_| countable);
    assert_eq!(greatest["share"].as_f64(), max);
    let names = || held.iter().filter_map(|r| r.name.as_deref());
    let short = names().max().filter(|_| names().all(|n| n.len() <= 32));
    if let Some(name) = short {
        assert_eq!(greatest["name"].as_str(), Some(name));
    }
}

#[test]
fn committed_rows_are_the_sum_of_all_changes() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runs");
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let inner = Arc::new(InMemory::new());
        let store = Store { inner, root: Path::default(), local: None };
        let mut model = Multiset::new();
        let mut t = 0;
        let mut last = None;
        for _ in 0..rng.random_range(2..5) {
            let settings = SinkSettings { file_rows_max: rng.random_range(1..20), bucket_days: 7 };
            let rows_max = settings.file_rows_max;
            let peers = rng.random_range(1..4);
            t += 1;
            let mut workers = Workers::start(runtime.handle(), &store, t, peers, settings);
            // Rows may differ from the committed ones: a restart may change the plan.
            let moved = rng.random_bool(0.5).then(|| (draw(&mut rng), 1));
            model.extend(moved.clone());
            workers.commit(t, &detours(&model, &mut rng), &mut rng);
            let kept = last.take().filter(|_| moved.is_none());
            for round in 0..rng.random_range(1..8) {
                let (rows, files) = runtime.block_on(committed(&store, usize::MAX));
                assert_eq!(rows, model, "seed {seed}, t {t}");
                if let (0, Some(kept)) = (round, &kept) {
                    assert_eq!(&files, kept, "seed {seed}: what is right is not written again");
                }
                t += 1;
                let mut change = Multiset::new();
                for _ in 0..rng.random_range(0..40) {
                    *change.entry(draw(&mut rng)).or_default() += rng.random_range(1..4);
                }
                let live: Vec<(Row, i64)> = model.clone().into_iter().collect();
                for _ in 0..rng.random_range(0..40).min(live.len()) {
                    let (row, copies) = &live[rng.random_range(0..live.len())];
                    change.insert(row.clone(), -rng.random_range(1..=*copies));
                }
                workers.commit(t, &detours(&change, &mut rng), &mut rng);
                for (row, copies) in change {
                    *model.entry(row).or_default() += copies;
                }
                model.retain(|_, copies| *copies != 0);
            }
            let (rows, files) = runtime.block_on(committed(&store, rows_max.max(20)));
            assert_eq!(rows, model, "seed {seed}, t {t}");
            last = Some(files);
        }
    }
}
