//! Delta tables as sources. `tests/delta_source.py` does the same with tables that the `deltalake`
//! package writes.

use serde_json::{Value, json};

use crate::{Bench, longs, parquet};

const VIEWS: &str = "
CREATE SOURCE t (k BIGINT NOT NULL, v BIGINT) WITH (location = 't/', format = 'delta', mode = 'replace');
CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;";

fn columns(names: &[&str]) -> Value {
    let field = |n: &&str| json!({"name": n, "type": "long", "nullable": true, "metadata": {}});
    let fields: Vec<Value> = names.iter().map(field).collect();
    json!(json!({"type": "struct", "fields": fields}).to_string())
}

fn meta_data(names: &[&str], partitioned_by: &[&str]) -> Value {
    json!({"metaData": {
        "id": "t", "format": {"provider": "parquet", "options": {}},
        "schemaString": columns(names), "partitionColumns": partitioned_by,
        "configuration": {},
    }})
}

fn protocol() -> Value {
    json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}})
}

fn add(path: &str) -> Value {
    json!({"add": {
        "path": path, "partitionValues": {}, "size": 1, "modificationTime": 0, "dataChange": true,
    }})
}

fn remove(path: &str) -> Value {
    json!({"remove": {"path": path, "deletionTimestamp": 0, "dataChange": true}})
}

fn commit(bench: &Bench, version: u64, actions: &[Value]) {
    let lines: String = actions.iter().map(|a| format!("{a}\n")).collect();
    bench.put(&format!("t/_delta_log/{version:020}.json"), &lines);
}

fn data(bench: &Bench, path: &str, rows: &[(i64, i64)]) {
    let (k, v): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
    bench.put_bytes(&format!("t/{path}"), &parquet(vec![("k", longs(&k)), ("v", longs(&v))]));
}

#[test]
fn a_table_is_what_its_log_says_then_and_later() {
    let bench = Bench::empty();
    data(&bench, "a.parquet", &[(1, 10), (2, 20)]);
    data(&bench, "b.parquet", &[(1, 1)]);
    data(&bench, "never-committed.parquet", &[(9, 9)]);
    commit(&bench, 0, &[protocol(), meta_data(&["k", "v"], &[]), add("a.parquet")]);
    commit(&bench, 1, &[add("b.parquet")]);
    bench.once(VIEWS);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,11", "2,20"]);
    bench.verified();
    let mut run = bench.command(&["run"]).spawn().expect("starts");
    bench.published(1);
    // An update rewrites a file; rows that stay cancel.
    data(&bench, "c.parquet", &[(1, 10), (2, 25)]);
    commit(&bench, 2, &[remove("a.parquet"), add("c.parquet")]);
    bench.eventually("SELECT * FROM s", &["1,11", "2,25"]);
    commit(&bench, 3, &[remove("b.parquet")]);
    bench.eventually("SELECT * FROM s", &["1,10", "2,25"]);
    run.kill().expect("killed");
    run.wait().expect("ended");
    // What nobody needs any more is deleted; what is behind the log's end is not read.
    bench.remove("t/a.parquet");
    bench.remove("t/b.parquet");
    bench.ok(&["run", "--once"]);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,10", "2,25"]);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
    bench.verified();
}

#[test]
fn partitions_are_read_from_folders_that_the_log_confirms() {
    let bench = Bench::empty();
    let sql = "CREATE SOURCE t (k BIGINT, v BIGINT, kind VARCHAR)
            WITH (location = 't/', format = 'delta', mode = 'replace');
        CREATE MATERIALIZED VIEW s AS SELECT kind, k, v FROM t;";
    let partitioned = |path: &str, kind: Option<&str>| {
        let mut add = add(path);
        add["add"]["partitionValues"] = json!({"kind": kind});
        add
    };
    data(&bench, "kind=a%3Ab/x.parquet", &[(1, 10)]);
    data(&bench, "kind=__HIVE_DEFAULT_PARTITION__/x.parquet", &[(2, 20)]);
    commit(
        &bench,
        0,
        &[
            protocol(),
            meta_data(&["k", "v", "kind"], &["kind"]),
            partitioned("kind=a%253Ab/x.parquet", Some("a:b")),
            partitioned("kind=__HIVE_DEFAULT_PARTITION__/x.parquet", None),
        ],
    );
    bench.once(sql);
    assert_eq!(bench.rows("SELECT * FROM s"), [",2,20", "a:b,1,10"]);
    bench.verified();
    data(&bench, "elsewhere.parquet", &[(3, 30)]);
    commit(&bench, 1, &[partitioned("elsewhere.parquet", Some("c"))]);
    let said = bench.fails(&["run", "--once"]);
    assert!(said.contains("whose folders do not name their values"), "{said}");
}

#[test]
fn an_added_column_is_null_in_the_older_files_of_a_table() {
    let bench = Bench::empty();
    let sql =
        VIEWS.replace("v BIGINT)", "v BIGINT, w BIGINT)").replace("sum(v) AS v", "sum(w) AS w");
    data(&bench, "a.parquet", &[(1, 10)]);
    commit(&bench, 0, &[protocol(), meta_data(&["k", "v"], &[]), add("a.parquet")]);
    bench.once(VIEWS);
    std::fs::write(bench.path("views.sql"), &sql).expect("written");
    let said = bench.fails(&["run", &bench.path("views.sql").display().to_string(), "--once"]);
    assert!(said.contains("has no column 'w': its columns are k, v"), "{said}");
    let wide = vec![("k", longs(&[2])), ("v", longs(&[20])), ("w", longs(&[200]))];
    bench.put_bytes("t/b.parquet", &parquet(wide));
    commit(&bench, 1, &[meta_data(&["k", "v", "w"], &[]), add("b.parquet")]);
    bench.once(&sql);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,", "2,200"]);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
    bench.verified();
}

#[test]
fn what_is_not_read_yet_is_refused_with_words() {
    let refused = |actions: &[Value]| {
        let bench = Bench::empty();
        data(&bench, "a.parquet", &[(1, 10)]);
        commit(&bench, 0, actions);
        std::fs::write(bench.path("views.sql"), VIEWS).expect("written");
        bench.fails(&["run", &bench.path("views.sql").display().to_string(), "--once"])
    };
    let features = |features: &[&str]| {
        json!({"protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": features, "writerFeatures": features,
        }})
    };
    let meta = meta_data(&["k", "v"], &[]);
    let mut deleted = add("a.parquet");
    deleted["add"]["deletionVector"] = json!({"storageType": "u", "cardinality": 1});
    let mut mapped = meta.clone();
    mapped["metaData"]["configuration"] = json!({"delta.columnMapping.mode": "name"});
    let said = refused(&[features(&["deletionVectors"]), meta.clone(), deleted]);
    assert!(said.contains("source 't'") && said.contains("deletion vectors"), "{said}");
    let said = refused(&[features(&["columnMapping"]), mapped, add("a.parquet")]);
    assert!(said.contains("column mapping"), "{said}");
    let said = refused(&[features(&["variantType"]), meta.clone(), add("a.parquet")]);
    assert!(said.contains("'variantType'"), "{said}");
    let said = refused(&[protocol(), meta.clone(), add("s3://other/a.parquet")]);
    assert!(said.contains("outside of its folder"), "{said}");
    let said = refused(&[protocol(), meta, add("lost.parquet")]);
    assert!(said.contains("a live file is missing"), "{said}");
    let bench = Bench::empty();
    data(&bench, "a.parquet", &[(1, 10)]);
    std::fs::write(bench.path("views.sql"), VIEWS).expect("written");
    let said = bench.fails(&["run", &bench.path("views.sql").display().to_string(), "--once"]);
    assert!(said.contains("is no Delta table: it has no _delta_log"), "{said}");
}
