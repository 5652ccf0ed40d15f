//! Deliveries that contradict each other: the newest word counts, and a batch query over what was
//! accepted says the same.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Bench;

const METRICS: &str = "
CREATE SOURCE m (campaign VARCHAR NOT NULL, day DATE NOT NULL, cost BIGINT, as_of TIMESTAMP NOT NULL,
    PRIMARY KEY (campaign, day))
  WITH (location = 'm/', format = 'csv', mode = 'upsert', version = 'as_of', event_time = 'day');
CREATE MATERIALIZED VIEW daily AS SELECT day, count(*) AS n, sum(cost) AS cost FROM m GROUP BY day;
CREATE MATERIALIZED VIEW moving AS SELECT campaign, day, sum(cost) OVER (PARTITION BY campaign
    ORDER BY day RANGE BETWEEN INTERVAL '2 days' PRECEDING AND CURRENT ROW) AS cost_3d FROM m;";

const HEADER: &str = "campaign,day,cost,as_of\n";

fn row(campaign: u32, day: u32, cost: i64, as_of: &str) -> String {
    format!("c{campaign},2026-05-{day:02},{cost},{as_of}\n")
}

/// A day's file with one number for each of three campaigns.
fn day(day: u32, cost: i64, as_of: &str) -> String {
    let rows: String = (0..3).map(|c| row(c, day, cost + i64::from(c), as_of)).collect();
    HEADER.to_string() + &rows
}

#[test]
fn a_day_that_is_delivered_three_times_with_different_numbers_counts_once() {
    // As three files, in and out of order; as one file that is written over; while it runs.
    let deliveries = [
        day(4, 100, "2026-05-05 06:00:00"),
        day(4, 170, "2026-05-06 06:00:00"),
        day(4, 150, "2026-05-07 06:00:00"),
    ];
    let newest = ["2026-05-04,3,453"];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let bench = Bench::empty();
        for i in order {
            bench.put(&format!("m/2026-05-04.{i}.csv"), &deliveries[i]);
            bench.once(METRICS);
            bench.verified();
        }
        assert_eq!(bench.rows("SELECT * FROM daily"), newest, "{order:?}");
        let history = bench.rows("SELECT campaign, count(*) FROM m_history GROUP BY campaign");
        assert_eq!(history, ["c0,3", "c1,3", "c2,3"]);
        bench.verified();
    }
    let bench = Bench::empty();
    bench.put("m/2026-05-04.csv", &deliveries[0]);
    bench.once(METRICS);
    let mut run = bench.command(&["run"]).spawn().expect("starts");
    for (i, cost) in [(1, "2026-05-04,3,513"), (2, newest[0])] {
        bench.put("m/2026-05-04.csv", &deliveries[i]);
        bench.eventually("SELECT * FROM daily", &[cost]);
    }
    run.kill().expect("killed");
    run.wait().expect("ended");
    bench.ok(&["run", "--once"]);
    assert_eq!(bench.rows("SELECT * FROM daily"), newest);
    assert_eq!(bench.rows("SELECT count(*) FROM m_history"), ["9"]);
    bench.verified();
}

#[test]
fn a_day_that_is_delivered_three_times_counts_three_times_only_where_files_are_rows() {
    // Without versions the last file that replaces the others counts, or all of them do.
    for (mode, cost) in [("replace", "150"), ("append", "150")] {
        let bench = Bench::empty();
        let sql = format!(
            "CREATE SOURCE m (day DATE, cost BIGINT) WITH (location = 'm/', format = 'csv', mode = '{mode}');
             CREATE MATERIALIZED VIEW daily AS SELECT day, sum(cost) AS cost FROM m GROUP BY day;"
        );
        for delivered in ["100", "170", cost] {
            bench.put("m/2026-05-04.csv", &format!("day,cost\n2026-05-04,{delivered}\n"));
            bench.once(&sql);
            assert_eq!(bench.rows("SELECT cost FROM daily"), [delivered], "{mode}");
            bench.verified();
        }
        bench.put("m/2026-05-04-again.csv", "day,cost\n2026-05-04,1000\n");
        bench.once(&sql);
        assert_eq!(bench.rows("SELECT cost FROM daily"), ["1150"], "{mode}");
        bench.verified();
    }
}

#[test]
fn clocks_of_producers_that_disagree_only_decide_by_what_they_say() {
    // Producer a is an hour ahead, b an hour behind; both deliver the same keys, in any order.
    // The greatest `as_of` counts, whenever it comes, and the file's own time never does.
    let a = |n: u32| day(1 + n % 3, i64::from(n), &format!("2026-05-10 {:02}:00:00", 12 + n));
    let b =
        |n: u32| day(1 + n % 3, 1000 + i64::from(n), &format!("2026-05-10 {:02}:00:00", 10 + n));
    let mut answers = vec![];
    for seed in 0..3 {
        let bench = Bench::empty();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut files: Vec<(String, String)> = (0..6)
            .flat_map(|n| [(format!("m/a/{n}.csv"), a(n)), (format!("m/b/{n}.csv"), b(n))])
            .collect();
        while !files.is_empty() {
            for _ in 0..rng.random_range(1..5usize).min(files.len()) {
                let (path, text) = files.swap_remove(rng.random_range(0..files.len()));
                bench.put(&path, &text);
            }
            bench.once(METRICS);
        }
        bench.verified();
        answers.push((bench.rows("SELECT * FROM daily"), bench.rows("SELECT * FROM moving")));
    }
    assert_eq!(answers[0].0, ["2026-05-01,3,12", "2026-05-02,3,15", "2026-05-03,3,18"]);
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
    // Equal stamps of two producers: what was logged last counts, and a restart agrees.
    let bench = Bench::empty();
    bench.put("m/b.csv", &day(1, 7, "2026-05-10 12:00:00"));
    bench.once(METRICS);
    bench.put("m/a.csv", &day(1, 9, "2026-05-10 12:00:00"));
    for _ in 0..2 {
        bench.once(METRICS);
        assert_eq!(bench.rows("SELECT cost FROM daily"), ["30"]);
        bench.verified();
    }
}

#[test]
fn a_delivery_that_comes_twice_changes_nothing() {
    let bench = Bench::empty();
    bench.put("m/1.csv", &day(1, 5, "2026-05-02 06:00:00"));
    bench.once(METRICS);
    let before = bench.rows("SELECT * FROM moving");
    bench.put("m/1-again.csv", &day(1, 5, "2026-05-02 06:00:00"));
    let mut doubled = day(1, 5, "2026-05-02 06:00:00");
    doubled += &doubled.replace(HEADER, "");
    bench.put("m/2.csv", &doubled);
    bench.once(METRICS);
    assert_eq!(bench.rows("SELECT * FROM moving"), before);
    bench.verified();
}
