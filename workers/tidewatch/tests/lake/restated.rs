//! Deliveries that contradict each other: the newest word counts, and a batch query over what was
//! accepted says the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

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

/// Give a file the stamp of a machine whose clock is off by `seconds`.
fn stamp(bench: &Bench, name: &str, seconds: i64) {
    let off = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let at = if seconds < 0 { now - off } else { now + off };
    let file = std::fs::File::options().write(true).open(bench.lake().join(name));
    file.expect("it is there").set_modified(at).expect("stamped");
}

#[test]
fn a_file_from_a_machine_whose_clock_is_ahead_is_not_waited_for_until_then() {
    let bench = Bench::empty();
    let settings = "[sources]\nsettle_ms = 100\npoll_ms = 20\n";
    std::fs::write(bench.path("settings.toml"), settings).expect("settings");
    bench.put("m/1.csv", &day(1, 5, "2026-05-02 06:00:00"));
    stamp(&bench, "m/1.csv", 3_600);
    // Cut off, and stamped so: it is what it is, and a fault, after ten times as long.
    bench.put("m/2.csv", &(day(2, 5, "2026-05-02 06:00:00") + "c9,2026"));
    stamp(&bench, "m/2.csv", 40_000_000);
    bench.put("m/3.csv", &day(3, 5, "2026-05-02 06:00:00"));
    stamp(&bench, "m/3.csv", -40_000_000);
    let began = Instant::now();
    bench.once(METRICS);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let days = ["2026-05-01,3,18", "2026-05-02,3,18", "2026-05-03,3,18"];
    assert_eq!(bench.rows("SELECT * FROM daily"), days);
    assert_eq!(bench.rows("SELECT file FROM faults"), ["2.csv"]);
    bench.verified();
}

/// What two producers deliver, in two sources: versions of (campaign, day) in `m`, files that
/// replace one another in `r`.
#[derive(Default)]
struct Delivered {
    versions: BTreeMap<(u32, u32), (String, i64)>,
    files: BTreeMap<String, Vec<(u32, i64)>>,
}

impl Delivered {
    /// A delivery of one day by one producer: new, restated, late or a repetition; first half
    /// written, perhaps; stamped by whatever clock.
    fn deliver(&mut self, bench: &Bench, rng: &mut StdRng, n: u32) {
        let (producer, day) = (["a", "b"][rng.random_range(0..2)], rng.random_range(1..6));
        // Producer a is hours ahead, b behind, and neither delivers in order. No two are equal.
        let hour = 8 + rng.random_range(0..6) + if producer == "a" { 6 } else { 0 };
        let as_of = format!("2026-05-10 {hour:02}:{:02}:{:02}", n / 60, n % 60);
        let costs: Vec<i64> = (0..3).map(|_| rng.random_range(0..1_000)).collect();
        let rows: String =
            (0u32..).zip(&costs).map(|(c, cost)| row(c, day, *cost, &as_of)).collect();
        let plain = rows.lines().map(|l| l.rsplit_once(',').expect("as_of").0.to_string() + "\n");
        let plain: String = plain.collect();
        let replaced = format!("r/{producer}/{day}.csv");
        let files = [
            (format!("m/{producer}/{n}.csv"), HEADER.to_string() + &rows),
            (replaced.clone(), "campaign,day,cost\n".to_string() + &plain),
        ];
        for (name, text) in &files {
            if rng.random_bool(0.3) {
                bench.put(name, &text[..text.len() - 12]);
                std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
            }
            bench.put(name, text);
            if rng.random_bool(0.6) {
                stamp(bench, name, rng.random_range(-5_000_000..5_000_000));
            }
        }
        if rng.random_bool(0.2) {
            bench.put(&format!("m/{producer}/{n}-again.csv"), &files[0].1);
        }
        self.files.insert(replaced, (0u32..).zip(costs.iter().copied()).collect());
        for (c, cost) in (0u32..).zip(costs) {
            let newest = self.versions.entry((c, day)).or_default();
            *newest = newest.clone().max((as_of.clone(), cost));
        }
        if rng.random_bool(0.1) {
            let all: Vec<String> = self.files.keys().cloned().collect();
            let name = &all[rng.random_range(0..all.len())];
            bench.remove(name);
            self.files.remove(name);
        }
    }

    fn newest(&self) -> Vec<String> {
        let row = |((c, day), (_, cost)): (&(u32, u32), &(String, i64))| {
            format!("c{c},2026-05-{day:02},{cost}")
        };
        self.versions.iter().map(row).collect()
    }

    fn by_campaign(&self) -> Vec<String> {
        let mut sums: BTreeMap<u32, (u32, i64)> = BTreeMap::new();
        for (c, cost) in self.files.values().flatten() {
            let sum = sums.entry(*c).or_default();
            *sum = (sum.0 + 1, sum.1 + cost);
        }
        sums.iter().map(|(c, (n, cost))| format!("c{c},{n},{cost}")).collect()
    }
}

#[test]
fn whatever_the_order_the_clocks_and_the_halves_the_answer_is_that_of_what_was_delivered() {
    let sql = METRICS.to_string()
        + "CREATE SOURCE r (campaign VARCHAR, day DATE, cost BIGINT)
             WITH (location = 'r/', format = 'csv', mode = 'replace');
           CREATE MATERIALIZED VIEW newest AS SELECT campaign, day, cost FROM m;
           CREATE MATERIALIZED VIEW by_campaign AS
             SELECT campaign, count(*) AS n, sum(cost) AS cost FROM r GROUP BY campaign;";
    for seed in 0..3 {
        let bench = Bench::empty();
        let settings = "[sources]\nsettle_ms = 30\npoll_ms = 10\n";
        std::fs::write(bench.path("settings.toml"), settings).expect("settings");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut delivered = Delivered::default();
        delivered.deliver(&bench, &mut rng, 0);
        bench.once(&sql);
        let mut run = bench.command(&["run"]).spawn().expect("starts");
        for n in 1..60 {
            delivered.deliver(&bench, &mut rng, n);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..40)));
        }
        let newest: Vec<String> = delivered.newest();
        let newest: Vec<&str> = newest.iter().map(String::as_str).collect();
        bench.eventually("SELECT * FROM newest", &newest);
        run.kill().expect("killed");
        run.wait().expect("ended");
        bench.ok(&["run", "--once"]);
        assert_eq!(bench.rows("SELECT * FROM newest"), newest, "seed {seed}");
        assert_eq!(bench.rows("SELECT * FROM by_campaign"), delivered.by_campaign(), "{seed}");
        let left = bench.rows("SELECT * FROM faults");
        assert!(left.is_empty(), "every half became whole: {left:?}");
        bench.verified();
    }
}
