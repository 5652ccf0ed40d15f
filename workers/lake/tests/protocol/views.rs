//! Views' tables: committed by several incarnations, held by readers, vacuumed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use engine::ports::{Committer, PortError, PortErrorKind, Sink, ViewSpec, ViewWriter, WorkerId};
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidewatch_lake::Store;
use tidewatch_lake::delta::Table;
use tidewatch_lake::lease::hold;
use tidewatch_lake::sink::{DeltaSink, Incarnation, Outside, SinkSettings, table_folder};
use tidewatch_lake::vacuum::{Sweeper, Swept, VacuumSettings, vacuum};
use tokio::runtime::{Handle, Runtime};

use crate::faulty::Faulty;

/// Long after everything was written.
const LATER_US: i64 = i64::MAX / 4;
const VIEW: &str = "v";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

/// One incarnation that writes one view.
struct Writing {
    store: Store,
    epoch: u64,
    writer: Box<dyn ViewWriter>,
    committer: Box<dyn Committer>,
}

impl Writing {
    fn new(runtime: &Handle, store: &Store, epoch: u64) -> Result<Writing, PortError> {
        let numbers = std::sync::Mutex::new(StdRng::seed_from_u64(epoch));
        let nonce = move || format!("{:016x}", numbers.lock().expect("no panic").random::<u64>());
        let outside = Outside { nonce: Arc::new(nonce), clock_us: Arc::new(|| 1_000_000) };
        let created = BTreeMap::from([(VIEW.to_string(), 1)]);
        let incarnation = Incarnation { epoch, created };
        let settings = SinkSettings { file_rows_max: 8, bucket_days: 7 };
        let sink = DeltaSink::new(store.clone(), runtime.clone(), incarnation, settings, outside);
        let view = ViewSpec { name: VIEW.to_string(), schema: schema(), time_column: None };
        Ok(Writing {
            store: store.clone(),
            epoch,
            writer: sink.writer(&view, WorkerId { index: 0, peers: 1 })?,
            committer: sink.committer(&[view])?,
        })
    }

    /// Commit changes `(k, v, diff)` at `t`.
    fn commit(&mut self, t: u64, changes: &[(i64, i64, i64)]) -> Result<(), PortError> {
        let column = |f: fn(&(i64, i64, i64)) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(changes.iter().map(f)))
        };
        let rows = RecordBatch::try_new(schema(), vec![column(|c| c.0), column(|c| c.1)]);
        let diffs: Vec<i64> = changes.iter().map(|c| c.2).collect();
        self.writer.push(rows.expect("fits"), &diffs)?;
        let staged = self.writer.stage(t)?;
        self.committer.commit(t, vec![staged])
    }

    fn vacuum(&self, runtime: &Runtime, nonce: u64) -> tidewatch_lake::Result<Swept> {
        let tables = BTreeSet::from([table_folder(VIEW, 1)]);
        let sweeper = Sweeper { epoch: self.epoch, alone: false, tables };
        let settings = VacuumSettings { keep_us: 0, checkpoint_versions: 5 };
        let nonce = format!("{}-{nonce}", self.epoch);
        runtime.block_on(vacuum(&self.store, &sweeper, settings, LATER_US, &nonce))
    }
}

/// The rows of a version of the view's table, sorted; panics if one of its files is gone.
async fn rows(store: &Store, version: Option<u64>) -> Vec<(i64, i64)> {
    let folder = table_folder(VIEW, 1);
    let table = Table::load(store, &folder, version).await.expect("a whole log");
    let mut rows = vec![];
    for file in table.files.keys() {
        let bytes = store.read(&format!("{folder}/{file}")).await.expect("named files are there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build());
        for batch in reader.expect("Parquet") {
            let batch = batch.expect("readable");
            let column = |c: usize| {
                arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(c))
                    .clone()
            };
            let (k, v) = (column(0), column(1));
            rows.extend((0..batch.num_rows()).map(|i| (k.value(i), v.value(i))));
        }
    }
    rows.sort_unstable();
    rows
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runs")
}

fn objects(runtime: &Runtime, store: &Store) -> usize {
    runtime.block_on(store.list("", None)).expect("lists").len()
}

#[test]
fn three_hundred_commits_leave_a_small_table_that_says_the_same() {
    let runtime = runtime();
    let store = Faulty::new(&Arc::new(InMemory::new()), 0.0, 0).lake();
    let mut model: BTreeMap<i64, i64> = (0..40).map(|k| (k, 0)).collect();
    let mut writing = Writing::new(runtime.handle(), &store, 1).expect("starts");
    let all: Vec<_> = model.iter().map(|(k, v)| (*k, *v, 1)).collect();
    writing.commit(1, &all).expect("commits");
    for t in 2..=300 {
        let (k, v) = ((t % 40) as i64, t as i64);
        let old = model.insert(k, v).expect("there");
        writing.commit(t, &[(k, old, -1), (k, v, 1)]).expect("commits");
        if t % 10 == 0 {
            writing.vacuum(&runtime, t).expect("vacuums");
            let want: Vec<_> = model.iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(runtime.block_on(rows(&store, None)), want, "at {t}");
        }
    }
    let left = objects(&runtime, &store);
    assert!(left < 60, "{left} objects hold 40 rows in files of 8");
}

#[test]
fn a_held_snapshot_stays_whole_until_it_is_released() {
    let runtime = runtime();
    let store = Faulty::new(&Arc::new(InMemory::new()), 0.0, 0).lake();
    let mut writing = Writing::new(runtime.handle(), &store, 1).expect("starts");
    writing.commit(1, &[(1, 1, 1)]).expect("commits");
    let held =
        runtime.block_on(hold(&store, "reader", LATER_US)).expect("holds").expect("published");
    let version = held.published.views[VIEW].version;
    for t in 2..=30 {
        writing.commit(t, &[(1, t as i64 - 1, -1), (1, t as i64, 1)]).expect("commits");
        writing.vacuum(&runtime, t).expect("vacuums");
        assert_eq!(runtime.block_on(rows(&store, Some(version))), [(1, 1)], "at {t}");
    }
    let before = objects(&runtime, &store);
    runtime.block_on(held.release(LATER_US)).expect("in time");
    let swept = writing.vacuum(&runtime, 31).expect("vacuums");
    assert!(swept.files >= 28 && objects(&runtime, &store) < before / 3, "{swept:?}");
    assert_eq!(runtime.block_on(rows(&store, None)), [(1, 30)]);
}

#[test]
fn a_lease_that_ran_out_holds_nothing_and_its_reader_is_told() {
    let runtime = runtime();
    let store = Faulty::new(&Arc::new(InMemory::new()), 0.0, 0).lake();
    let mut writing = Writing::new(runtime.handle(), &store, 1).expect("starts");
    writing.commit(1, &[(1, 1, 1)]).expect("commits");
    let held = runtime.block_on(hold(&store, "reader", 0)).expect("holds").expect("published");
    writing.commit(2, &[(1, 1, -1), (1, 2, 1)]).expect("commits");
    assert_eq!(writing.vacuum(&runtime, 1).expect("vacuums").files, 1);
    let error = runtime.block_on(held.release(LATER_US)).expect_err("too late");
    assert_eq!(error.kind(), PortErrorKind::Gone, "{error}");
}

#[test]
fn orphans_of_older_incarnations_go_and_nothing_of_newer_ones_or_of_others() {
    let runtime = runtime();
    let store = Faulty::new(&Arc::new(InMemory::new()), 0.0, 0).lake();
    let folder = table_folder(VIEW, 1);
    let name = |epoch: u64| format!("{folder}/{epoch:020}-{epoch:020}-0-orphan.parquet");
    let notes = format!("{folder}/somebody's notes.parquet");
    let dropped = format!("{}/_delta_log/00000000000000000000.json", table_folder("old", 3));
    Writing::new(runtime.handle(), &store, 4)
        .and_then(|mut w| w.commit(4, &[(1, 1, 1)]))
        .expect("commits");
    for object in [&name(4), &name(5), &name(6), &notes, &dropped] {
        runtime.block_on(store.put(object, "x".into())).expect("written");
    }
    let mut writing = Writing::new(runtime.handle(), &store, 5).expect("starts");
    writing.vacuum(&runtime, 1).expect("vacuums");
    let there = |object: &str| runtime.block_on(store.get(object)).expect("reads").is_some();
    assert!(there(&name(4)), "an older leader may still commit it: our own commit has not landed");
    assert!(!there(&dropped), "nobody can reach a dropped view's table");
    writing.commit(5, &[(1, 1, 1)]).expect("commits");
    writing.vacuum(&runtime, 2).expect("vacuums");
    assert!(!there(&name(4)));
    assert!(there(&name(5)) && there(&name(6)) && there(&notes));
    assert_eq!(runtime.block_on(rows(&store, None)), [(1, 1)]);
}

#[test]
fn an_older_leaders_late_commit_is_lost_or_compared_with_and_never_mixed_in() {
    let runtime = runtime();
    for commits_before in [0, 1, 30] {
        let memory = Arc::new(InMemory::new());
        let slow = Faulty::new(&memory, 0.0, 1);
        let (reached, open) = slow.hold("_delta_log/00000000000000000001");
        let (handle, lake) = (runtime.handle().clone(), slow.lake());
        let zombie = std::thread::spawn(move || {
            let mut first = Writing::new(&handle, &lake, 1)?;
            first.commit(1, &[(1, 1, 1)])?;
            first.commit(2, &[(1, 1, -1), (1, 2, 1)])
        });
        runtime.block_on(reached).expect("on its way");
        let store = Faulty::new(&memory, 0.0, 2).lake();
        let mut second = Writing::new(runtime.handle(), &store, 3).expect("starts");
        if commits_before > 0 {
            second.commit(3, &[(1, 3, 1)]).expect("nobody is there yet");
            for t in 4..4 + (commits_before - 1) {
                second.commit(t, &[(2, 2, 1)]).expect("commits");
            }
            let copies = commits_before as i64 - 1;
            second.commit(40, &[(2, 2, -copies)]).expect("commits");
            // Of thirty commits the first are cut: the late one lands on a free name.
            second.vacuum(&runtime, 1).expect("vacuums");
            open.send(()).expect("it waits");
            let error = zombie.join().expect("no panic").expect_err("it lost");
            assert_eq!(error.kind(), PortErrorKind::Fenced, "{error}");
        } else {
            open.send(()).expect("it waits");
            zombie.join().expect("no panic").expect("its commit is a right image of its time");
            let error = second.commit(3, &[(1, 3, 1)]).expect_err("the table is another now");
            assert_eq!(error.kind(), PortErrorKind::Gone, "{error}: begin again, behind it");
            let mut second = Writing::new(runtime.handle(), &store, 4).expect("starts");
            second.commit(4, &[(1, 3, 1)]).expect("commits");
        }
        assert_eq!(runtime.block_on(rows(&store, None)), [(1, 3)], "{commits_before}");
    }
}

#[test]
fn whatever_the_store_answers_every_reachable_version_is_whole() {
    let runtime = runtime();
    for seed in 0..15 {
        let memory = Arc::new(InMemory::new());
        let honest = Faulty::new(&memory, 0.0, 0).lake();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut t = 0;
        for epoch_number in 0..4 {
            let store = Faulty::new(&memory, 0.3, seed * 10 + epoch_number).lake();
            t += 1;
            let epoch = t;
            let mut model: BTreeMap<i64, i64> = BTreeMap::new();
            let mut writing = Writing::new(runtime.handle(), &store, epoch).expect("starts");
            for _ in 0..rng.random_range(1..20) {
                let (k, v) = (rng.random_range(0..30), rng.random_range(0..1_000));
                let mut changes = vec![(k, v, 1)];
                changes.extend(model.insert(k, v).map(|old| (k, old, -1)));
                // Plain puts never fail here, rule P settles the rest.
                writing.commit(t, &changes).expect("commits");
                t += 1;
                if rng.random_bool(0.4) {
                    // Deletions and floors may fail; the next round goes on.
                    let _ = writing.vacuum(&runtime, t);
                }
            }
            let want: Vec<_> = model.into_iter().collect();
            assert_eq!(runtime.block_on(rows(&honest, None)), want, "seed {seed}");
            let held = runtime.block_on(hold(&honest, "reader", LATER_US));
            let held = held.expect("holds").expect("published");
            let version = Some(held.published.views[VIEW].version);
            assert_eq!(runtime.block_on(rows(&honest, version)), want, "seed {seed}");
            runtime.block_on(held.release(LATER_US)).expect("in time");
        }
    }
}
