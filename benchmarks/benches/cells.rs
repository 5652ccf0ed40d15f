//! From a source's Parquet files to hourly cells: what the program does first of all things.
//!
//!     cargo bench --workspace --bench cells [-- --quick]
//!
//! The baseline is nothing but decoding the columns that are read. DataFusion makes the same cells
//! by batch SQL. All have one thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use engine::rewrite::columns_read;
use lake::Store;
use lake::source::{Format, LakeReader, SourceConfig, changes, list, open_location};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use sql::{Catalog, parse};
use tidewatch_benchmarks::Dataflow;
use tidewatch_benchmarks::turns::{Way, sized, take_turns, timed};
use tokio::runtime::Runtime;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SQL: &str = "
CREATE SOURCE events (event_id BIGINT, event_time TIMESTAMP, campaign_id BIGINT, platform VARCHAR,
    impressions BIGINT, clicks BIGINT, spend_micros BIGINT, conversions BIGINT, revenue_micros BIGINT)
  WITH (location = 'lake/', format = 'parquet', event_time = 'event_time');
CREATE MATERIALIZED VIEW cells AS
";
const CELLS: &str = "SELECT campaign_id, date_trunc('hour', event_time) AS hour,
    sum(impressions) AS imp, sum(clicks) AS clk, sum(spend_micros) AS spend,
    sum(conversions) AS conv, sum(revenue_micros) AS rev
FROM events GROUP BY campaign_id, date_trunc('hour', event_time)";
const READ: [&str; 7] = [
    "event_time",
    "campaign_id",
    "impressions",
    "clicks",
    "spend_micros",
    "conversions",
    "revenue_micros",
];
const FILES: i64 = 8;
const CAMPAIGNS: i64 = 500;
const US_BETWEEN: i64 = 1_000_000;

/// Events in order of time, some campaigns far more often than others.
fn events(ids: std::ops::Range<i64>) -> RecordBatch {
    let mixed = |id: i64, salt: i64| {
        let mixed = (id * 2_654_435_761 + salt * 40_503).rem_euclid(1 << 40);
        (mixed >> 7) ^ mixed
    };
    let column = |f: &dyn Fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(ids.clone().map(f)))
    };
    let times = ids.clone().map(|id| 1_736_121_600_000_000 + id * US_BETWEEN);
    let platforms = ids.clone().map(|id| ["google", "meta", "tiktok", "x"][(id % 4) as usize]);
    let campaign = |id: i64| {
        let drawn = mixed(id, 1).rem_euclid(CAMPAIGNS);
        drawn * drawn / CAMPAIGNS
    };
    let clicks = |id: i64| mixed(id, 3).rem_euclid(9);
    RecordBatch::try_from_iter([
        ("event_id", column(&|id| id)),
        ("event_time", Arc::new(TimestampMicrosecondArray::from_iter_values(times)) as ArrayRef),
        ("campaign_id", column(&campaign)),
        ("platform", Arc::new(StringArray::from_iter_values(platforms)) as ArrayRef),
        ("impressions", column(&|id| 150 + mixed(id, 2).rem_euclid(100))),
        ("clicks", column(&clicks)),
        ("spend_micros", column(&|id| clicks(id) * (300_000 + mixed(id, 4).rem_euclid(70_000)))),
        ("conversions", column(&|id| clicks(id) / 7)),
        ("revenue_micros", column(&|id| clicks(id) / 7 * mixed(id, 5).rem_euclid(40_000_000))),
    ])
    .expect("columns of one length")
}

fn write(folder: &Path, rows: i64) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).expect("a folder");
    let each = rows / FILES;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(122_880))
        .build();
    let one = |n: i64| {
        let (path, rows) = (folder.join(format!("{n}.parquet")), events(n * each..(n + 1) * each));
        let file = std::fs::File::create(&path).expect("a file");
        let writer = ArrowWriter::try_new(file, rows.schema(), Some(properties.clone()));
        let mut writer = writer.expect("Parquet holds it");
        writer.write(&rows).expect("written");
        writer.close().expect("written");
        path
    };
    (0..FILES).map(one).collect()
}

/// Decode what is read; the rows.
fn decode(paths: &[PathBuf]) -> usize {
    let rows = |path: &PathBuf| -> usize {
        let file = std::fs::File::open(path).expect("a file");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        let mask = ProjectionMask::columns(builder.parquet_schema(), READ);
        let reader = builder.with_projection(mask).with_batch_size(8_192).build();
        reader.expect("Parquet").map(|batch| batch.expect("readable").num_rows()).sum()
    };
    paths.iter().map(rows).sum()
}

async fn batch_sql(folder: &Path) -> usize {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let folder = folder.display().to_string();
    let registered = context.register_parquet("events", folder, ParquetReadOptions::default());
    registered.await.expect("files");
    let cells = context.sql(CELLS).await.expect("SQL").collect().await.expect("it runs");
    cells.iter().map(RecordBatch::num_rows).sum()
}

fn maintained(runtime: &Runtime, root: &Path) -> (Duration, u64) {
    let sql = format!("{SQL} {CELLS};");
    let catalog = Catalog::new(parse(&sql, "bench").expect("SQL")).expect("SQL");
    let source = catalog.source("events").expect("it is declared");
    let (root, here) = (root.display().to_string(), std::env::current_dir().expect("a folder"));
    let _guard = runtime.enter();
    let location = open_location(&source.location, &root, &BTreeMap::new()).expect("the data");
    let format = Format::named("parquet").expect("a format");
    let schema = source.file_schema.clone();
    let config = SourceConfig::new(source.name.clone(), location, format, schema, 0);
    let store = Store::open(&root, &BTreeMap::new(), &here).expect("a store");
    let (took, (rows, flow)) = timed(|| {
        let listed = runtime.block_on(list(&config)).expect("files");
        let (files, _) = changes("events", &listed, &[]);
        let reader = LakeReader::new(vec![config], store, runtime.handle().clone());
        let mut flow = Dataflow::over(&sql, |plan| Arc::new(reader.asked(columns_read(plan))));
        (flow.admit(files).1, flow)
    });
    drop(flow);
    (took, rows)
}

fn main() {
    let rows = sized(4_000_000, 800_000);
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let paths = write(&lake, rows);
    let runtime = Runtime::new().expect("a runtime");
    let cells = runtime.block_on(batch_sql(&lake));
    assert_eq!(maintained(&runtime, folder.path()).1 as usize, cells, "the same cells");
    assert_eq!(decode(&paths) as i64, rows, "all rows");
    let ways: Vec<Way<'_>> = vec![
        ("decode seven columns".to_string(), Box::new(|_| timed(|| decode(&paths)).0)),
        (
            "DataFusion, batch SQL".to_string(),
            Box::new(|_| timed(|| runtime.block_on(batch_sql(&lake))).0),
        ),
        (
            "Tidewatch, maintained from here on".to_string(),
            Box::new(|_| maintained(&runtime, folder.path()).0),
        ),
    ];
    let medians = take_turns(&format!("cells: {rows} rows to {cells} cells"), sized(7, 5), ways);
    for (what, took) in ["decoded", "DataFusion", "Tidewatch"].iter().zip(medians) {
        println!("{what:>44} {:>10.2} M rows a second", rows as f64 / took.as_secs_f64() / 1e6);
    }
}
