//! Bad input: clear words, nothing lost, the next run continues.

use crate::Bench;

const VIEWS: &str = "
CREATE SOURCE t (k BIGINT NOT NULL, v BIGINT) WITH (location = 't/', format = 'json', mode = 'replace');
CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;";

#[test]
fn bad_lines_and_values_are_faults_and_the_rest_counts() {
    let bench = Bench::empty();
    bench.put(
        "t/a.jsonl",
        "{\"k\": 1, \"v\": 5}\nno json\n{\"k\": 1, \"v\": \"many\"}\n{\"v\": 1}\n{\"k\": \"2\", \"v\": \"7\", \"x\": 0}\n",
    );
    bench.once(VIEWS);
    assert_eq!(bench.rows("SELECT k, v FROM s"), ["1,5", "2,7"]);
    let faults = bench.rows("SELECT file, row, \"column\", reason FROM faults");
    assert_eq!(faults.len(), 4, "{faults:#?}");
    let all = faults.join("\n");
    for part in
        ["'no json'", "'many' is no Int64", "declared NOT NULL", "'x'", "a.jsonl,1", "a.jsonl,2"]
    {
        let part = part.trim_matches('\'');
        assert!(all.contains(part), "{part} in {all}");
    }
    bench.verified();
    // The corrected file takes its faults with it.
    bench.put("t/a.jsonl", "{\"k\": 1, \"v\": 6}\n");
    bench.once(VIEWS);
    assert_eq!(bench.rows("SELECT k, v FROM s"), ["1,6"]);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
}

#[test]
fn a_truncated_parquet_file_is_a_fault_until_it_is_whole() {
    let bench = Bench::empty();
    let settings = world::Settings { seed: 1, campaigns: 2, days: 9, ..world::Settings::default() };
    let world = world::World::new(settings, false);
    let delivery = world.delivery(0).expect("encodes");
    world::write(&delivery, &bench.lake()).expect("written");
    let (path, bytes) =
        delivery.files.iter().find(|f| f.0.starts_with("ad_metrics")).expect("facts");
    std::fs::write(bench.lake().join(path), &bytes[..bytes.len() / 2]).expect("written");
    let sql = format!(
        "{} CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM ad_metrics;",
        include_str!("../../../../schemas/ad_metrics.sql")
    );
    bench.once(&sql);
    let faults = bench.rows("SELECT reason FROM faults");
    assert!(faults.iter().any(|f| f.contains("is no whole Parquet file")), "{faults:?}");
    bench.verified();
    std::fs::write(bench.lake().join(path), bytes).expect("written");
    bench.once(&sql);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
    bench.verified();
}

#[test]
fn overflow_is_a_fault_and_is_retracted_with_its_cause() {
    let bench = Bench::empty();
    let views = "CREATE SOURCE t (k BIGINT, v BIGINT) WITH (location = 't/', format = 'json', mode = 'replace');
        CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;
        CREATE MATERIALIZED VIEW d AS SELECT k, v * 4 AS v4, 10 / (v - 3) AS q FROM t;";
    let huge = "{\"k\": 1, \"v\": 9223372036854775807}\n";
    bench
        .put("t/a.jsonl", &format!("{huge}{huge}{{\"k\": 2, \"v\": 3}}\n{{\"k\": 3, \"v\": 4}}\n"));
    bench.once(views);
    assert_eq!(bench.rows("SELECT k, v FROM s"), ["2,3", "3,4"]);
    assert_eq!(bench.rows("SELECT k, v4, q FROM d"), ["3,16,10"]);
    let faults = bench.rows("SELECT origin, reason FROM faults").join("\n");
    assert!(faults.contains("out of the range of Int64"), "{faults}");
    assert!(faults.to_lowercase().contains("overflow"), "{faults}");
    assert!(faults.to_lowercase().contains("divide by zero"), "{faults}");
    let verified = bench.verified();
    assert!(verified.contains("s: 2 rows, NOT COMPARED: 1 rows"), "{verified}");
    assert!(verified.contains("verify: 0 views, 0 differences, 2 not compared"), "{verified}");
    bench.put("t/a.jsonl", "{\"k\": 3, \"v\": 4}\n");
    bench.once(views);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
}

#[test]
fn a_full_disk_is_named_and_the_next_run_continues() {
    let bench = Bench::empty();
    let lines: String = (0..80_000u64)
        .map(|i| format!("{{\"k\": {i}, \"v\": {}}}\n", (i * i * 2_654_435_761) % 1_000_003))
        .collect();
    bench.put("t/a.jsonl", &lines);
    std::fs::write(bench.path("views.sql"), VIEWS.replace("'t/'", "'file://T/t/'"))
        .expect("written");
    // A lake on a disk of its own, in a mount namespace that ends with the shell.
    let script = r#"
        mkdir "$D/small" && mount -t tmpfs -o size=100k tmpfs "$D/small" || exit 99
        sed -i "s|file://T|file://$D/lake|" "$D/views.sql"
        export TIDEWATCH_LAKE="$D/small"
        "$P" --quiet --config "$D/settings.toml" run "$D/views.sql" --once; echo "full: $?"
        mount -o remount,size=64m "$D/small"
        "$P" --quiet --config "$D/settings.toml" run "$D/views.sql" --once && "$P" verify
    "#;
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .env("D", bench.path("").canonicalize().expect("there"))
        .env("P", env!("CARGO_BIN_EXE_tidewatch"))
        .output();
    let Ok(output) = output else {
        return eprintln!("SKIPPED: there is no `unshare` to give a lake a small disk of its own");
    };
    let (said, err) = (crate::text(&output.stdout), crate::text(&output.stderr));
    if output.status.code() == Some(99) || err.contains("unshare:") {
        return eprintln!("SKIPPED: no disk of its own can be mounted here: {err}");
    }
    assert!(said.contains("full: 75"), "an outage, by its exit code: {said}{err}");
    assert!(err.contains("No space left on device"), "{err}");
    assert!(said.contains("verify: 1 views, 0 differences"), "{said}{err}");
}

#[test]
fn a_missing_folder_and_missing_credentials_are_named() {
    let bench = Bench::empty();
    let path = bench.path("v.sql");
    let source = |location: &str| {
        let sql = format!(
            "CREATE SOURCE t (k BIGINT) WITH (location = '{location}'); \
             CREATE MATERIALIZED VIEW s AS SELECT count(*) AS n FROM t;"
        );
        std::fs::write(&path, sql).expect("written");
        bench.fails(&["run", &path.display().to_string(), "--once"])
    };
    let missing = source("nowhere/");
    assert!(
        missing.contains("source 't': folder '") && missing.contains("is not there"),
        "{missing}"
    );
    let denied = source("s3://bucket/t/");
    assert!(denied.contains("source 't'") && denied.contains("no credentials"), "{denied}");
}

#[test]
fn a_second_writer_is_told_who_writes() {
    let bench = Bench::empty();
    bench.put("t/a.jsonl", "{\"k\": 1, \"v\": 5}\n");
    bench.once(VIEWS);
    let sql = bench.path("views.sql").display().to_string();
    let mut first = bench.command(&["run", &sql]).spawn().expect("starts");
    bench.published(1);
    let output = bench.run(&["run", &sql, "--once"]);
    let said = crate::text(&output.stderr);
    first.kill().expect("killed");
    first.wait().expect("ended");
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("process {}", first.id())), "{said}");
    bench.ok(&["run", &sql, "--once"]);
    bench.verified();
}
