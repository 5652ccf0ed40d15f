//! The log, led by several that do not know of each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::ports::{PortErrorKind, SourceFile};
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidewatch_lake::log::{LogSettings, Sequencer, read_state};
use tidewatch_lake::{Identity, LakeError, Store};

use crate::faulty::Faulty;

async fn lead(store: &Store, seed: u64, checkpoint_entries: u64) -> Result<Sequencer, LakeError> {
    let identity = Identity { host: format!("host {seed}"), pid: 1, version: "1".into() };
    let settings = LogSettings { heartbeat_ms: 1, checkpoint_entries, take_over: true };
    let mut rng = StdRng::seed_from_u64(seed);
    let nonces = Box::new(move || format!("{seed}-{}", rng.random::<u64>()));
    // The store's own clock says when objects were written.
    let mut clock = || now_us(0);
    Sequencer::lead(store, identity, settings, nonces, &mut clock).await.map(|(led, _)| led)
}

fn now_us(entry: i64) -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_micros()).expect("before 2262") + entry
}

fn file(path: &str) -> SourceFile {
    SourceFile {
        source: "s".into(),
        path: path.into(),
        etag: "1".into(),
        size: 1,
        admitted: 0,
        admitted_clock_us: 0,
    }
}

#[tokio::test]
async fn every_append_is_in_the_log_once_whatever_the_store_answers() {
    for seed in 0..20 {
        let faulty = Faulty::new(&Arc::new(InMemory::new()), 0.4, seed);
        let store = faulty.lake();
        // The probe at the start needs answers; every try draws other names.
        let mut tries = (0..100).map(|n| seed * 1_000 + n);
        let mut log = loop {
            let seed = tries.next().expect("a store that answers now and then");
            if let Ok(log) = lead(&store, seed, 7).await {
                break log;
            }
        };
        let mut admitted = BTreeMap::new();
        for i in 0..20 {
            let path = format!("{i}");
            let entry = log.append(vec![file(&path)], vec![], vec![], now_us(0)).await;
            let entry = entry.expect("nobody else leads");
            admitted.insert(path, entry.time);
        }
        let state = read_state(&store).await.expect("no gap");
        let logged: BTreeMap<String, u64> =
            state.live_files().map(|f| (f.path.clone(), f.admitted)).collect();
        assert_eq!(logged, admitted, "seed {seed}");
    }
}

#[tokio::test]
async fn leaders_that_take_over_from_each_other_lose_nothing_that_was_acknowledged() {
    for seed in 0..20 {
        let memory = Arc::new(InMemory::new());
        let mut rng = StdRng::seed_from_u64(seed);
        let mut acknowledged = vec![];
        let mut leaders: Vec<Sequencer> = vec![];
        for step in 0..40 {
            if leaders.is_empty() || rng.random_bool(0.2) {
                let store = Faulty::new(&memory, 0.2, seed * 100 + step).lake();
                if let Ok(log) = lead(&store, seed * 100 + step, 5).await {
                    leaders.push(log);
                }
                continue;
            }
            let who = rng.random_range(0..leaders.len());
            let path = format!("{step}");
            let appended = leaders[who].append(vec![file(&path)], vec![], vec![], now_us(0)).await;
            match appended {
                Ok(_) => acknowledged.push(path),
                Err(error) => {
                    assert_eq!(error.kind(), PortErrorKind::Fenced, "{error}");
                    assert!(who + 1 < leaders.len(), "the last to lead is not fenced");
                    leaders.remove(who);
                }
            }
        }
        let store = Faulty::new(&memory, 0.0, 0).lake();
        let state = read_state(&store).await.expect("no gap");
        let logged: Vec<String> = state.live_files().map(|f| f.path.clone()).collect();
        for path in &acknowledged {
            assert!(logged.contains(path), "seed {seed}: {path} was acknowledged, and is lost");
        }
    }
}

#[tokio::test]
async fn a_put_that_lands_on_a_name_that_truncation_freed_is_not_acknowledged() {
    let memory = Arc::new(InMemory::new());
    let slow = Faulty::new(&memory, 0.0, 1);
    let mut first = lead(&slow.lake(), 1, 100).await.expect("leads");
    let (reached, open) = slow.hold("log/00000000000000000002");
    let store = Faulty::new(&memory, 0.0, 2).lake();
    let late = first.append(vec![file("late")], vec![], vec![], now_us(0));
    let meanwhile = async {
        reached.await.expect("it is on its way");
        // Entry 2 is the second leader's; at 4 the entries before are cut.
        let mut second = lead(&store, 2, 4).await.expect("takes over");
        for path in ["a", "b", "c"] {
            second.append(vec![file(path)], vec![], vec![], now_us(0)).await.expect("leads");
        }
        let cut = store.get("_tidewatch/log/00000000000000000002.json").await;
        assert!(cut.expect("reads").is_none());
        open.send(()).expect("it waits");
    };
    let (late, ()) = tokio::join!(late, meanwhile);
    let error = late.expect_err("it must not be acknowledged");
    assert_eq!(error.kind(), PortErrorKind::Fenced, "{error}");
    let state = read_state(&store).await.expect("whole");
    let logged: Vec<&str> = state.live_files().map(|f| f.path.as_str()).collect();
    assert_eq!(logged, ["a", "b", "c"]);
}
