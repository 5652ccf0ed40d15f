//! Source modes, end to end.

use crate::Bench;

#[test]
fn append_takes_back_the_rows_of_a_file_that_vanishes() {
    let bench = Bench::empty();
    let views = "CREATE SOURCE t (k BIGINT, v BIGINT) WITH (location = 't/', format = 'json');
        CREATE MATERIALIZED VIEW s AS SELECT count(*) AS n, sum(v) AS v FROM t;";
    bench.put("t/a.jsonl", "{\"k\": 1, \"v\": 5}\n");
    bench.put("t/b.jsonl", "{\"k\": 1, \"v\": 7}\n");
    bench.once(views);
    assert_eq!(bench.rows("SELECT * FROM s"), ["2,12"]);
    std::fs::remove_file(bench.lake().join("t/a.jsonl")).expect("removed");
    bench.once(views);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,7"]);
    let faults = || bench.rows("SELECT origin, file, reason FROM faults");
    let said = faults();
    assert!(said.len() == 1 && said[0].contains("a.jsonl"), "{said:?}");
    assert!(said[0].contains("was deleted or overwritten"), "{said:?}");
    bench.verified();
    // An overwritten file counts as what it is now, and stays a fault while it runs and after.
    let mut run = bench.command(&["run"]).spawn().expect("starts");
    bench.put("t/b.jsonl", "{\"k\": 1, \"v\": 8}\n");
    bench.eventually("SELECT * FROM s", &["1,8"]);
    run.kill().expect("killed");
    run.wait().expect("ended");
    bench.once(views);
    assert_eq!(faults().len(), 2, "{:?}", faults());
    bench.verified();
    // Stated anew, it begins without a past.
    bench.once(&views.replace("v BIGINT", "v INTEGER"));
    assert!(faults().is_empty(), "{:?}", faults());
    bench.verified();
}

#[test]
fn changes_add_and_take_away() {
    let bench = Bench::empty();
    let views = "CREATE SOURCE t (k BIGINT, _diff BIGINT NOT NULL)
        WITH (location = 't/', format = 'json', mode = 'changes');
        CREATE MATERIALIZED VIEW s AS SELECT k, count(*) AS n FROM t GROUP BY k;";
    bench.put("t/a.jsonl", "{\"k\": 1, \"_diff\": 3}\n{\"k\": 2, \"_diff\": 1}\n");
    bench.once(views);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,3", "2,1"]);
    bench.put("t/b.jsonl", "{\"k\": 1, \"_diff\": -1}\n{\"k\": 2, \"_diff\": -1}\n");
    bench.once(views);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,2"]);
    bench.verified();
}

#[test]
fn upsert_keeps_the_newest_version_and_all_history() {
    let bench = Bench::empty();
    let views = "CREATE SOURCE t (k BIGINT, v BIGINT, gone BOOLEAN, as_of TIMESTAMP NOT NULL, PRIMARY KEY (k))
        WITH (location = 't/', format = 'json', mode = 'upsert', version = 'as_of', deleted = 'gone');
        CREATE MATERIALIZED VIEW s AS SELECT k, v FROM t;
        CREATE MATERIALIZED VIEW h AS SELECT k, count(*) AS n FROM t_history GROUP BY k;";
    let row = |k: u32, v: u32, day: u32, gone: bool| {
        format!(
            "{{\"k\": {k}, \"v\": {v}, \"gone\": {gone}, \"as_of\": \"2026-01-0{day} 00:00:00\"}}\n"
        )
    };
    bench.put("t/b.jsonl", &(row(1, 20, 2, false) + &row(2, 5, 1, false)));
    bench.once(views);
    // An older version that comes late changes nothing; a deletion takes the row.
    bench.put("t/a.jsonl", &(row(1, 10, 1, false) + &row(2, 5, 3, true)));
    bench.once(views);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,20"]);
    assert_eq!(bench.rows("SELECT * FROM h"), ["1,2", "2,2"]);
    assert_eq!(bench.rows("SELECT count(*) FROM t_history"), ["4"]);
    bench.verified();
}

#[test]
fn versions_of_an_upsert_source_outlive_their_files() {
    let bench = Bench::empty();
    let views = "CREATE SOURCE t (k BIGINT, v BIGINT, as_of TIMESTAMP NOT NULL, PRIMARY KEY (k))
        WITH (location = 't/', format = 'json', mode = 'upsert', version = 'as_of');
        CREATE MATERIALIZED VIEW s AS SELECT k, v FROM t;
        CREATE MATERIALIZED VIEW h AS SELECT k, v, count(*) AS n FROM t_history GROUP BY k, v;";
    let row = |k: u32, v: u32, day: u32| {
        format!("{{\"k\": {k}, \"v\": {v}, \"as_of\": \"2026-01-0{day} 00:00:00\"}}\n")
    };
    bench.put("t/a.jsonl", &(row(1, 10, 1) + &row(2, 5, 1)));
    bench.put("t/b.jsonl", &row(1, 20, 2));
    bench.once(views);
    std::fs::remove_file(bench.lake().join("t/a.jsonl")).expect("removed");
    // Overwritten: the older content was admitted, and stays as a version.
    bench.put("t/b.jsonl", &row(3, 7, 1));
    for _ in 0..2 {
        bench.once(views);
        assert_eq!(bench.rows("SELECT * FROM s"), ["1,20", "2,5", "3,7"]);
        assert_eq!(bench.rows("SELECT * FROM h"), ["1,10,1", "1,20,1", "2,5,1", "3,7,1"]);
        bench.verified();
    }
    // Also while it runs, and in a cluster.
    bench.ok(&["run", "--once", "--processes", "2"]);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,20", "2,5", "3,7"]);
    let mut run = bench.command(&["run"]).spawn().expect("starts");
    std::fs::remove_file(bench.lake().join("t/b.jsonl")).expect("removed");
    bench.put("t/c.jsonl", &row(2, 6, 3));
    bench.eventually("SELECT * FROM s", &["1,20", "2,6", "3,7"]);
    run.kill().expect("killed");
    run.wait().expect("ended");
    bench.ok(&["run", "--once"]);
    bench.verified();
}

#[test]
fn folders_fill_columns() {
    let bench = Bench::empty();
    bench.put("t/day=2026-01-02/kind=a%20b/x.jsonl", "{\"v\": 1}\n");
    bench.put("t/day=2026-01-03/kind=__HIVE_DEFAULT_PARTITION__/x.jsonl", "{\"v\": 2}\n");
    bench.once(
        "CREATE SOURCE t (v BIGINT, day DATE, kind VARCHAR) WITH (location = 't/', format = 'json');
         CREATE MATERIALIZED VIEW s AS SELECT day, kind, v FROM t;",
    );
    assert_eq!(bench.rows("SELECT * FROM s"), ["2026-01-02,a b,1", "2026-01-03,,2"]);
    bench.verified();
}
