//! Every way into the lake: the same rows, whatever they are written as.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::ipc::writer::{FileWriter, StreamWriter};

use crate::{Bench, longs, parquet};

fn views(format: &str) -> String {
    format!(
        "CREATE SOURCE t (k BIGINT NOT NULL, v BIGINT)
             WITH (location = 't/', format = '{format}', mode = 'replace');
         CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;"
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).expect("encodes");
    encoder.finish().expect("encodes")
}

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter([("k", longs(&[1, 2])), ("v", longs(&[5, 7]))]).expect("two columns")
}

fn arrow_file() -> Vec<u8> {
    let batch = batch();
    let mut writer = FileWriter::try_new(vec![], &batch.schema()).expect("a writer");
    writer.write(&batch).expect("written");
    writer.finish().expect("written");
    writer.into_inner().expect("bytes")
}

fn arrow_stream() -> Vec<u8> {
    let batch = batch();
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).expect("a writer");
    writer.write(&batch).expect("written");
    writer.write(&batch.slice(0, 0)).expect("written");
    writer.finish().expect("written");
    writer.into_inner().expect("bytes")
}

/// (format, file name, content) of the rows (1, 5) and (2, 7), in all formats.
fn files() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let json = b"{\"k\": 1, \"v\": 5}\n{\"k\": 2, \"v\": 7}\n".to_vec();
    let csv = b"k,v\n1,5\n2,7\n".to_vec();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("encodes");
    vec![
        ("parquet", "a.parquet", parquet(vec![("k", longs(&[1, 2])), ("v", longs(&[5, 7]))])),
        ("json", "a.jsonl.gz", gzip(&json)),
        ("json", "a.ndjson.zst", zstd(&json)),
        ("json", "a.json", json),
        ("csv", "a.csv.gz", gzip(&csv)),
        ("csv", "a.csv.zst", zstd(&csv)),
        ("csv", "a.csv", csv),
        ("arrow", "a.arrow", arrow_file()),
        ("arrow", "a.arrows", arrow_stream()),
    ]
}

#[test]
fn all_formats_say_the_same() {
    for (format, name, bytes) in files() {
        let bench = Bench::empty();
        bench.put_bytes(&format!("t/{name}"), &bytes);
        // Files of other formats, and hidden ones, are somebody else's.
        bench.put("t/readme.txt", "k\n");
        bench.put_bytes(&format!("t/_{name}"), b"nothing");
        bench.once(&views(format));
        assert_eq!(bench.rows("SELECT * FROM s"), ["1,5", "2,7"], "{name}");
        assert!(bench.rows("SELECT * FROM faults").is_empty(), "{name}");
        bench.verified();
    }
}

#[test]
fn a_file_that_is_cut_off_is_one_fault_until_it_is_whole() {
    for (format, name, bytes) in files() {
        // What is left of a text file is lines.
        if name.ends_with(".json") || name.ends_with(".csv") {
            continue;
        }
        let bench = Bench::empty();
        let path = format!("t/{name}");
        for end in [bytes.len() / 2, bytes.len() - 1] {
            bench.put_bytes(&path, &bytes[..end]);
            bench.once(&views(format));
            assert!(bench.rows("SELECT * FROM s").is_empty(), "{name}");
            let faults = bench.rows("SELECT file, row, reason FROM faults");
            assert_eq!(faults.len(), 1, "{faults:?}");
            let (file, whole) = (format!("{name},,"), "is no whole");
            assert!(faults[0].starts_with(&file) && faults[0].contains(whole), "{faults:?}");
            bench.verified();
        }
        bench.put_bytes(&path, &bytes);
        bench.once(&views(format));
        assert_eq!(bench.rows("SELECT * FROM s"), ["1,5", "2,7"], "{name}");
        assert!(bench.rows("SELECT * FROM faults").is_empty(), "{name}");
        bench.verified();
    }
}

#[test]
fn a_file_that_is_being_written_is_waited_for() {
    for (format, name, bytes) in files() {
        let bench = Bench::empty();
        let settings = "[sources]\nsettle_ms = 400\npoll_ms = 20\n";
        std::fs::write(bench.path("settings.toml"), settings).expect("settings");
        bench.put_bytes(&format!("t/x-{name}"), &bytes);
        bench.once(&views(format));
        let mut run = bench.command(&["run"]).spawn().expect("starts");
        bench.published(1);
        let path = bench.lake().join("t").join(name);
        let mut file = std::fs::File::create(path).expect("created");
        file.write_all(&bytes[..bytes.len() - 1]).expect("written");
        // Longer than it takes to settle, shorter than until it counts as all there will be.
        std::thread::sleep(std::time::Duration::from_millis(800));
        let half = bench.rows("SELECT * FROM s");
        file.write_all(&bytes[bytes.len() - 1..]).expect("written");
        drop(file);
        bench.eventually("SELECT * FROM s", &["1,10", "2,14"]);
        run.kill().expect("killed");
        run.wait().expect("ended");
        assert_eq!(half, ["1,5", "2,7"], "{name}: nothing of it counted before it was whole");
        bench.ok(&["run", "--once"]);
        assert!(bench.rows("SELECT * FROM faults").is_empty(), "{name}");
        bench.verified();
    }
}

#[test]
fn csv_cells_are_typed_and_bad_ones_are_faults() {
    let bench = Bench::empty();
    let text = "\u{feff}name, day ,spend,extra\n\
        \"Spring, \"\"early\"\"\",2026-03-01,12.50,x\n\
        \"two\nlines\",2026-03-02,7.005,x\n\
        short,2026-03-03\n\
        ,2026-03-04,,x\n\
        plain,soon,1.00,x\n\
        plain,2026-03-05,3.10,x\n";
    bench.put("t/a.csv", text);
    bench.once(
        "CREATE SOURCE t (name VARCHAR, day DATE NOT NULL, spend DECIMAL(12,2))
             WITH (location = 't/', format = 'csv', mode = 'replace');
         CREATE MATERIALIZED VIEW s AS SELECT day, name, spend FROM t;",
    );
    let rows = bench.rows("SELECT * FROM s");
    assert_eq!(
        rows,
        ["2026-03-01,\"Spring, \"\"early\"\"\",12.50", "2026-03-04,,", "2026-03-05,plain,3.10"]
    );
    let faults = bench.rows("SELECT file, row, \"column\", reason FROM faults");
    let said = faults.join("\n");
    for part in [
        "a.csv,,extra,is not declared",
        "a.csv,1,spend,\"'7.005' is no Decimal128(12, 2)\"",
        "a.csv,2,,\"has 2 fields, but the header 4: 'short,2026-03-03'\"",
        "a.csv,4,day,'soon' is no Date32",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(faults.len(), 4, "{said}");
    bench.verified();
    bench.put("t/a.csv", "name,day,spend\nplain,2026-03-05,3.10\n");
    bench.once(&std::fs::read_to_string(bench.path("views.sql")).expect("written"));
    assert!(bench.rows("SELECT * FROM faults").is_empty());
}

#[test]
fn formats_that_are_not_known_are_refused_with_their_place() {
    let bench = Bench::empty();
    let said = |options: &str| {
        let sql = format!("CREATE SOURCE t (k BIGINT) WITH (location = 't/', {options});");
        std::fs::write(bench.path("v.sql"), sql).expect("written");
        bench.fails(&["explain", &bench.path("v.sql").display().to_string()])
    };
    let unknown = said("format = 'xlsx'");
    assert!(unknown.contains(":1:1: unknown format 'xlsx' of source 't'"), "{unknown}");
    assert!(unknown.contains("the formats are parquet, json, csv, arrow, delta"), "{unknown}");
    let mode = said("format = 'delta'");
    assert!(mode.contains("write mode = 'replace'"), "{mode}");
}

#[test]
fn damaged_files_never_stop_the_run() {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    const FILES: usize = 120;
    for (format, name, bytes) in files() {
        let mut rng = StdRng::seed_from_u64(11);
        let bench = Bench::empty();
        for i in 0..FILES {
            let mut damaged = bytes.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..damaged.len());
                damaged[at] = rng.random();
            }
            bench.put_bytes(&format!("t/{i}-{name}"), &damaged);
        }
        bench.once(&views(format));
        // Damage that makes another value of a value is nobody's to find; all else is a fault.
        assert!(!bench.rows("SELECT * FROM faults").is_empty(), "{name}");
        bench.verified();
    }
}
