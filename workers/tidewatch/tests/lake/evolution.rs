//! Files change their columns: what is added or widened is handled, what is taken away or changed
//! is refused with words.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float32Array, Int32Array, Int64Array, StringArray,
};

use crate::{Bench, longs, parquet};

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn source(columns: &str, options: &str) -> String {
    format!(
        "CREATE SOURCE t (k BIGINT NOT NULL, {columns}) WITH (location = 't/'{options});
         CREATE MATERIALIZED VIEW s AS SELECT * FROM t;"
    )
}

#[test]
fn an_added_column_is_null_in_older_files() {
    let bench = Bench::empty();
    bench.put_bytes("t/1.parquet", &parquet(vec![("k", longs(&[1])), ("v", longs(&[10]))]));
    bench.once(&source("v BIGINT", ""));
    // The exporter begins to deliver a column: it is named, and ignored until it is declared.
    let wide = parquet(vec![("k", longs(&[2])), ("v", longs(&[20])), ("w", longs(&[200]))]);
    bench.put_bytes("t/2.parquet", &wide);
    bench.once(&source("v BIGINT", ""));
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,10", "2,20"]);
    let ignored = bench.rows("SELECT file, \"column\", reason FROM faults");
    assert_eq!(ignored, ["2.parquet,w,is not declared in source 't'; it is ignored"]);
    bench.once(&source("v BIGINT, w BIGINT", ""));
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,10,", "2,20,200"]);
    let noted = bench.rows("SELECT file, \"column\", reason FROM faults");
    assert_eq!(noted, ["1.parquet,w,is not in the file; it reads as null"]);
    bench.verified();
    bench.once(&source("v BIGINT, w BIGINT DEFAULT NULL", ""));
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,10,", "2,20,200"]);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
    bench.verified();
}

#[test]
fn a_column_that_is_taken_away_is_refused_until_the_file_is_corrected() {
    for mode in ["", ", mode = 'replace'"] {
        let bench = Bench::empty();
        let sql = source("v BIGINT, w BIGINT", mode);
        let whole = |k: i64| {
            parquet(vec![("k", longs(&[k])), ("v", longs(&[k * 10])), ("w", longs(&[k * 100]))])
        };
        bench.put_bytes("t/1.parquet", &whole(1));
        bench.once(&sql);
        bench.put_bytes("t/2.parquet", &parquet(vec![("k", longs(&[2])), ("w", longs(&[200]))]));
        bench.put_bytes("t/3.parquet", &parquet(vec![("v", longs(&[3])), ("w", longs(&[300]))]));
        bench.once(&sql);
        assert_eq!(bench.rows("SELECT * FROM s"), ["1,10,100"]);
        let faults = bench.rows("SELECT file, row, \"column\", reason FROM faults");
        assert_eq!(faults.len(), 2, "{faults:?}");
        let optional = "2.parquet,,v,\"is not in the file; correct it, or declare the column \
                        DEFAULT NULL if files may lack it; no row can be read\"";
        assert_eq!(faults[0], optional);
        let required = "3.parquet,,k,\"is not in the file, but declared NOT NULL; no row can be \
                        read\"";
        assert_eq!(faults[1], required);
        bench.verified();
        bench.put_bytes("t/2.parquet", &whole(2));
        bench.remove("t/3.parquet");
        bench.once(&sql);
        assert_eq!(bench.rows("SELECT * FROM s"), ["1,10,100", "2,20,200"]);
        // What is left to say is that files of an append source changed.
        let left = bench.rows("SELECT reason FROM faults");
        assert!(left.iter().all(|f| mode.is_empty() && f.contains("taken back")), "{left:?}");
        bench.verified();
    }
}

#[test]
fn csv_headers_evolve_like_columns_of_typed_files() {
    let bench = Bench::empty();
    let sql = source("v BIGINT, w BIGINT DEFAULT NULL", ", format = 'csv'");
    bench.put("t/1.csv", "v,k\n10,1\n");
    bench.once(&sql);
    bench.put("t/2.csv", "w,k,v\n200,2,20\n");
    bench.put("t/3.csv", "k,w\n3,300\n");
    bench.put("t/4.csv", "k,v,v\n4,40,40\n");
    bench.once(&sql);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,10,", "2,20,200"]);
    let said = bench.rows("SELECT file, \"column\", reason FROM faults").join("\n");
    assert!(said.contains("3.csv,v,") && said.contains("4.csv,v,is in the file twice"), "{said}");
    bench.verified();
}

#[test]
fn wider_types_take_older_files_and_narrower_ones_are_refused() {
    let bench = Bench::empty();
    let older = parquet(vec![
        ("k", longs(&[1])),
        ("n", Arc::new(Int32Array::from(vec![7]))),
        ("f", Arc::new(Float32Array::from(vec![0.5]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![1_250])
                    .with_precision_and_scale(10, 2)
                    .expect("a decimal"),
            ),
        ),
        ("at", Arc::new(Date32Array::from(vec![20_000]))),
    ]);
    bench.put_bytes("t/1.parquet", &older);
    let narrow = source("n INT, f REAL, d DECIMAL(10,2), at DATE", "");
    let wide = source("n BIGINT, f DOUBLE, d DECIMAL(18,4), at TIMESTAMP", "");
    bench.once(&narrow);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,7,0.5,12.50,2024-10-04"]);
    bench.once(&wide);
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,7,0.5,12.5000,2024-10-04T00:00:00"]);
    assert!(bench.rows("SELECT * FROM faults").is_empty());
    bench.verified();
    // A file that is wider than the declaration, or of another kind, does not fit by chance.
    let all = || -> Vec<(&str, ArrayRef)> {
        vec![
            ("k", longs(&[2])),
            ("n", longs(&[8])),
            ("f", Arc::new(Float32Array::from(vec![1.5]))),
            (
                "d",
                Arc::new(
                    Decimal128Array::from(vec![1]).with_precision_and_scale(10, 2).expect("one"),
                ),
            ),
            ("at", Arc::new(Date32Array::from(vec![20_001]))),
        ]
    };
    bench.put_bytes("t/2.parquet", &parquet(all()));
    let mut changed = all();
    changed[4].1 = Arc::new(Int64Array::from(vec![1_700_000_000]));
    bench.put_bytes("t/3.parquet", &parquet(changed));
    bench.once(&narrow);
    assert_eq!(bench.rows("SELECT k FROM s"), ["1"]);
    let said = bench.rows("SELECT file, \"column\", reason FROM faults").join("\n");
    for part in [
        "2.parquet,n,\"is Int64 in the file, but declared Int32, which does not hold all such",
        "3.parquet,n,\"is Int64 in the file, but declared Int32",
        "3.parquet,at,\"is Int64 in the file, but declared Date32",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    bench.verified();
    bench.once(&wide);
    assert_eq!(bench.rows("SELECT k FROM s"), ["1", "2"]);
    bench.verified();
}

#[test]
fn text_is_parsed_and_floats_that_are_whole_are_integers() {
    let bench = Bench::empty();
    let floats: ArrayRef =
        Arc::new(arrow::array::Float64Array::from(vec![Some(3.0), None, Some(2.5)]));
    let columns =
        vec![("k", longs(&[1, 2, 3])), ("n", floats), ("d", texts(&["1.50", "2.505", "3.50"]))];
    bench.put_bytes("t/1.parquet", &parquet(columns));
    bench.once(&source("n BIGINT, d DECIMAL(10,2)", ""));
    assert_eq!(bench.rows("SELECT * FROM s"), ["1,3,1.50"]);
    let faults = bench.rows("SELECT row, \"column\", reason FROM faults");
    let expected = ["1,d,'2.505' is no Decimal128(10, 2)", "2,n,'2.5' is no Int64"];
    assert_eq!(faults.iter().map(|f| f.replace('"', "")).collect::<Vec<_>>(), expected);
    bench.verified();
}

#[test]
fn versions_of_gone_files_outlive_an_added_column() {
    let bench = Bench::empty();
    let sql = |columns: &str| {
        format!(
            "CREATE SOURCE t (k BIGINT, v BIGINT, as_of TIMESTAMP NOT NULL{columns}, PRIMARY KEY (k))
                 WITH (location = 't/', format = 'json', mode = 'upsert', version = 'as_of');
             CREATE MATERIALIZED VIEW s AS SELECT * FROM t;
             CREATE MATERIALIZED VIEW h AS SELECT k, count(*) AS n FROM t_history GROUP BY k;"
        )
    };
    let row = |k: u32, v: u32, day: u32, more: &str| {
        format!("{{\"k\": {k}, \"v\": {v}, \"as_of\": \"2026-01-0{day} 00:00:00\"{more}}}\n")
    };
    bench.put("t/a.jsonl", &(row(1, 10, 1, "") + &row(2, 5, 1, "")));
    bench.put("t/b.jsonl", &row(1, 20, 2, ""));
    bench.once(&sql(""));
    bench.remove("t/a.jsonl");
    bench.once(&sql(""));
    assert_eq!(bench.rows("SELECT k, v FROM s"), ["1,20", "2,5"]);
    bench.put("t/c.jsonl", &row(3, 7, 1, ", \"w\": \"new\""));
    let wider = sql(", w VARCHAR");
    for _ in 0..2 {
        bench.once(&wider);
        let rows = bench.rows("SELECT k, v, w FROM s");
        assert_eq!(rows, ["1,20,", "2,5,", "3,7,new"]);
        assert_eq!(bench.rows("SELECT * FROM h"), ["1,2", "2,1", "3,1"]);
        assert_eq!(bench.rows("SELECT count(*), count(w) FROM t_history"), ["4,1"]);
        bench.verified();
    }
    // A check that is declared meanwhile, and a type that changes: the one goes on, the other not.
    bench.once(&wider.replace("v BIGINT", "v BIGINT CHECK (v < 100)"));
    assert_eq!(bench.rows("SELECT * FROM h"), ["1,2", "2,1", "3,1"]);
    bench.once(&wider.replace("v BIGINT", "v DOUBLE"));
    assert_eq!(bench.rows("SELECT * FROM h"), ["1,1", "3,1"]);
    bench.verified();
}
