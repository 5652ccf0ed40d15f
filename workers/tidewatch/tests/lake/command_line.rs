//! What the command line says.

use crate::Bench;

#[test]
fn help_has_examples_and_completions_exist() {
    let bench = Bench::empty();
    for verb in [vec!["--help"], vec!["run", "--help"], vec!["sql", "--help"]] {
        assert!(bench.ok(&verb).contains("tidewatch "), "{verb:?}");
    }
    assert!(bench.ok(&["completions", "bash"]).contains("_tidewatch"));
}

#[test]
fn explain_prints_the_plan_and_errors_say_where() {
    let bench = Bench::empty();
    let sql = bench.path("v.sql");
    let source = "CREATE SOURCE t (k BIGINT, v BIGINT) WITH (location = 't/');\n";
    std::fs::write(
        &sql,
        format!("{source}CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;"),
    )
    .expect("written");
    let shown = bench.ok(&["explain", &sql.display().to_string()]);
    assert!(shown.contains("aggregate by [0]") && shown.contains("fingerprint"), "{shown}");
    let refused = |query: &str| {
        std::fs::write(&sql, format!("{source}CREATE MATERIALIZED VIEW s AS\n{query};"))
            .expect("written");
        bench.fails(&["explain", &sql.display().to_string()])
    };
    for (query, part) in [
        ("SELECT k FROM t ORDER BY v LIMIT 3", ":3:"),
        ("SELECT k, random() AS r FROM t", "random() changes without"),
        ("SELECT k FROM t WHERE k IN (SELECT v FROM t)", "hint: JOIN (SELECT DISTINCT"),
        ("SELECT nope FROM t", ":3:8"),
        ("SELECT a.k FROM t a FULL JOIN t b ON a.k = b.k", "FULL JOIN is not maintained yet"),
        ("SELECT k, rank() OVER (ORDER BY v) AS r FROM t", "use row_number()"),
        ("SELECT array_agg(k) AS a FROM t", "array_agg depends on the order"),
    ] {
        let said = refused(query);
        assert!(said.contains(part), "{query}: {said}");
    }
}

#[test]
fn queries_only_read_and_print_in_four_formats() {
    let bench = Bench::empty();
    bench.put("t/a.jsonl", "{\"k\": 1}\n");
    bench.once(
        "CREATE SOURCE t (k BIGINT) WITH (location = 't/', format = 'json');
         CREATE MATERIALIZED VIEW s AS SELECT k FROM t;",
    );
    assert!(bench.ok(&["sql", "SELECT k FROM s"]).contains("| 1 |"));
    assert_eq!(bench.ok(&["sql", "--format", "json", "SELECT k FROM s"]).trim(), "{\"k\":1}");
    assert!(bench.ok(&["sql", "SHOW TABLES"]).contains("faults"));
    for query in [
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "DROP TABLE s",
        "SELECT * FROM '/etc/passwd'",
    ] {
        bench.fails(&["sql", query]);
    }
}
