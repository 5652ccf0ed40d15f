//! State beyond `[memory] state_mib`.

use std::fmt::Write as _;

use crate::Bench;

const VIEWS: &str = "CREATE SOURCE t (k BIGINT, hour BIGINT, v BIGINT, note VARCHAR, PRIMARY KEY (k, hour))
      WITH (location = 't/', format = 'json', mode = 'upsert');
  CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS v, count(*) AS n FROM t GROUP BY k;
  CREATE MATERIALIZED VIEW notes AS SELECT note, max(v) AS most FROM t GROUP BY note;
  CREATE MATERIALIZED VIEW days AS SELECT k, hour, note, sum(v) OVER (PARTITION BY k ORDER BY hour
      RANGE BETWEEN 23 PRECEDING AND CURRENT ROW) AS day FROM t;
  CREATE MATERIALIZED VIEW both AS SELECT d.k, d.hour, d.day, s.n FROM days d JOIN sums s ON d.k = s.k;";

/// Some 20,000 rows: several times the memory that is granted.
fn rows(version: u64) -> String {
    let mut text = String::new();
    for i in 0..20_000u64 {
        let (k, hour, v) = (i % 400, i / 400, i.wrapping_mul(version * 2_654_435_761) % 1_000);
        let note = format!("a note that is rather long and nearly never the same {}", v % 997);
        writeln!(text, "{{\"k\":{k},\"hour\":{hour},\"v\":{v},\"note\":\"{note}\"}}")
            .expect("text");
    }
    text
}

#[test]
fn views_are_the_same_with_little_memory_and_nothing_is_left_on_disk() {
    let bench = Bench::empty();
    let spill = bench.path("spill");
    let mut settings = std::fs::read_to_string(bench.path("settings.toml")).expect("settings");
    write!(settings, "[memory]\nstate_mib = 1\nspill_folder = {spill:?}\n").expect("text");
    std::fs::write(bench.path("settings.toml"), settings).expect("settings");
    bench.put("t/a.jsonl", &rows(1));
    bench.once(VIEWS);
    bench.verified();
    let mut run = bench.command(&["run"]).spawn().expect("starts");
    bench.published(1);
    bench.put("t/b.jsonl", &rows(3));
    bench.eventually("SELECT count(*) FROM t_history", &["40000"]);
    run.kill().expect("killed");
    run.wait().expect("ended");
    let left = std::fs::read_dir(&spill).expect("it was made").count();
    assert_eq!(left, 0);
    bench.ok(&["run", "--once"]);
    bench.verified();
}

#[test]
fn a_spill_folder_that_takes_no_files_is_named() {
    let bench = Bench::empty();
    std::fs::write(bench.path("file"), "").expect("a file");
    let mut settings = std::fs::read_to_string(bench.path("settings.toml")).expect("settings");
    let spill = bench.path("file");
    write!(settings, "[memory]\nstate_mib = 1\nspill_folder = {spill:?}\n").expect("text");
    std::fs::write(bench.path("settings.toml"), settings).expect("settings");
    bench.put("t/a.jsonl", "{\"k\":1,\"hour\":1,\"v\":1}\n");
    std::fs::write(bench.path("views.sql"), VIEWS).expect("views");
    let said = bench.fails(&["run", bench.path("views.sql").to_str().expect("a path"), "--once"]);
    assert!(said.contains("spill_folder") && said.contains("takes no files"), "{said}");
}
