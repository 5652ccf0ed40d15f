//! Cleaning: what has to hold of rows is declared, and rows of which it does not are faults.

use crate::Bench;

const COLUMNS: &str = "k BIGINT NOT NULL, cost BIGINT CHECK (cost >= 0), clicks BIGINT,
    as_of TIMESTAMP, CONSTRAINT plausible CHECK (clicks <= 1000 AND cost / clicks < 100)";

fn source(mode: &str) -> String {
    let (key, diff) = match mode {
        "upsert" => (", PRIMARY KEY (k)", ""),
        "changes" => ("", ", _diff BIGINT NOT NULL"),
        _ => ("", ""),
    };
    let version = if mode == "upsert" { ", version = 'as_of'" } else { "" };
    format!(
        "CREATE SOURCE t ({COLUMNS}{diff}{key})
             WITH (location = 't/', format = 'json', mode = '{mode}'{version});
         CREATE MATERIALIZED VIEW s AS SELECT k, sum(cost) AS cost FROM t GROUP BY k;"
    )
}

fn row(k: u32, cost: &str, clicks: &str) -> String {
    format!("{{\"k\": {k}, \"cost\": {cost}, \"clicks\": {clicks}, \"_diff\": 1}}\n")
}

#[test]
fn rows_that_fail_a_check_are_quarantined_in_all_modes_and_come_back_corrected() {
    for mode in ["append", "replace", "upsert", "changes"] {
        let bench = Bench::empty();
        let good = row(1, "10", "5") + &row(2, "null", "null") + &row(3, "null", "2000");
        let bad = row(4, "-5", "1") + &row(5, "7", "0") + &row(6, "-900", "2000");
        bench.put("t/a.jsonl", &(good.replace("2000", "20") + &bad));
        bench.once(&source(mode));
        assert_eq!(bench.rows("SELECT * FROM s"), ["1,10", "2,", "3,"], "{mode}");
        let faults = bench.rows(
            "SELECT origin, file, row, \"column\", reason FROM faults
             WHERE reason NOT LIKE '%not declared%'",
        );
        let said = faults.join("\n");
        for part in [
            "t,a.jsonl,3,cost >= 0,'cost >= 0' is false: cost=-5",
            "t,a.jsonl,4,plausible,",
            "fails: ",
            "t,a.jsonl,5,cost >= 0,'cost >= 0' is false: cost=-900",
            "t,a.jsonl,5,plausible,",
        ] {
            assert!(said.contains(part), "{mode}: {part} in {said}");
        }
        assert_eq!(faults.len(), 4, "{mode}: {said}");
        bench.verified();
        // Counted by check.
        let counts =
            bench.rows("SELECT \"column\", count(*) FROM faults WHERE row IS NOT NULL GROUP BY 1");
        assert_eq!(counts, ["cost >= 0,2", "plausible,2"], "{mode}");
        bench.put("t/a.jsonl", &(row(1, "11", "5") + &row(4, "5", "1")));
        bench.once(&source(mode));
        let rows = bench.rows("SELECT * FROM s");
        // An upsert source keeps the versions of the file that was overwritten.
        let kept = if mode == "upsert" { 4 } else { 2 };
        assert_eq!(rows.len(), kept, "{mode}: {rows:?}");
        assert!(
            rows.contains(&"1,11".to_string()) && rows.contains(&"4,5".to_string()),
            "{rows:?}"
        );
        assert!(bench.rows("SELECT * FROM faults WHERE row IS NOT NULL").is_empty(), "{mode}");
        bench.verified();
    }
}

#[test]
fn a_check_may_come_later_and_go_again() {
    let bench = Bench::empty();
    let sql = |check: &str| {
        format!(
            "CREATE SOURCE t (k BIGINT, v BIGINT{check}) WITH (location = 't/', format = 'csv');
             CREATE MATERIALIZED VIEW s AS SELECT sum(v) AS v FROM t;"
        )
    };
    bench.put("t/a.csv", "k,v\n1,5\n2,-7\n");
    bench.once(&sql(""));
    assert_eq!(bench.rows("SELECT * FROM s"), ["-2"]);
    bench.once(&sql(", CHECK (v > 0)"));
    assert_eq!(bench.rows("SELECT * FROM s"), ["5"]);
    assert_eq!(
        bench.rows("SELECT \"column\", reason FROM faults"),
        ["v > 0,'v > 0' is false: v=-7"]
    );
    bench.verified();
    bench.once(&sql(""));
    assert_eq!(bench.rows("SELECT * FROM s"), ["-2"]);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
}

#[test]
fn checks_that_make_no_sense_are_refused_with_their_place() {
    let bench = Bench::empty();
    let said = |check: &str| {
        let sql = format!("CREATE SOURCE t (k BIGINT,\n  CHECK ({check})) WITH (location = 't/');");
        std::fs::write(bench.path("v.sql"), sql).expect("written");
        bench.fails(&["explain", &bench.path("v.sql").display().to_string()])
    };
    for (check, part) in [
        ("k + 1", "is Int64, not true or false"),
        ("nope > 1", "nope"),
        ("random() > 0.5", "random() changes"),
        ("k > (SELECT 1)", ":2:"),
        ("sum(k) > 1", "v.sql:"),
    ] {
        let said = said(check);
        assert!(said.contains(part), "{check}: {said}");
        assert!(said.contains("v.sql:2:"), "{check}: {said}");
    }
}

#[test]
fn a_repeated_key_is_a_fault_and_the_next_row_takes_its_place() {
    let bench = Bench::empty();
    let sql = "CREATE SOURCE t (k BIGINT, h BIGINT, v BIGINT, PRIMARY KEY (k, h))
            WITH (location = 't/', format = 'csv', mode = 'replace', duplicates = 'fault');
        CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;";
    bench.put("t/a.csv", "k,h,v\n1,1,5\n1,2,6\n1,2,60\n");
    // The same file, loaded twice under two names.
    bench.put("t/b.csv", "k,h,v\n1,1,5\n2,1,9\n");
    bench.once(sql);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,11", "2,9"]);
    let faults = bench.rows("SELECT file, row, \"column\", reason FROM faults");
    assert_eq!(
        faults,
        [
            "a.csv,2,\"k, h\",\"repeats the key of row 1 of 'a.csv', which counts\"",
            "b.csv,0,\"k, h\",\"repeats the key of row 0 of 'a.csv', which counts\"",
        ]
    );
    bench.verified();
    for (workers, processes) in [("2", "1"), ("1", "2")] {
        bench.ok(&["run", "--once", "--workers", workers, "--processes", processes]);
        bench.verified();
    }
    let mut run = bench.command(&["run"]).spawn().expect("starts");
    bench.put("t/a.csv", "k,h,v\n1,2,6\n");
    bench.eventually("SELECT * FROM s", &["1,11", "2,9"]);
    bench.eventually("SELECT * FROM faults", &[]);
    bench.remove("t/b.csv");
    bench.eventually("SELECT * FROM s", &["1,6"]);
    run.kill().expect("killed");
    run.wait().expect("ended");
    bench.ok(&["run", "--once"]);
    bench.verified();
}
