//! Kill it at any instant, start it again: nothing is lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{Bench, raw_rows};

const KILLS: u32 = 50;

fn features() -> String {
    let mut sql: Vec<String> =
        schemas::tables::TABLES.iter().map(|(_, ddl)| ddl.to_string()).collect();
    sql.push(
        include_str!("../../../../dataflows/campaign_features/campaign_features.sql").to_string(),
    );
    sql.join("\n")
}

#[test]
fn fifty_kills_lose_and_double_nothing() {
    let bench = Bench::tidy();
    std::fs::write(bench.path("views.sql"), features()).expect("written");
    let sql = bench.path("views.sql").display().to_string();
    let settings =
        world::Settings { seed: 3, campaigns: 4, days: 16, ..world::Settings::default() };
    let world = world::World::new(settings, false);
    let mut rng = StdRng::seed_from_u64(5);
    let mut arrived = 0;
    world::write(&world.delivery(0).expect("encodes"), &bench.lake()).expect("written");
    for kill in 0..KILLS {
        let mut child = bench.command(&["run", &sql]).spawn().expect("the program starts");
        std::thread::sleep(Duration::from_millis(rng.random_range(0..350)));
        // Changes arrive while it runs, about once every seven kills.
        if kill % 7 == 3 && arrived + 1 < world.deliveries() {
            arrived += 1;
            let delivery = world.delivery(arrived).expect("encodes");
            world::write(&delivery, &bench.lake()).expect("written");
            std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("it ended");
    }
    bench.ok(&["run", &sql, "--once"]);
    let verified = bench.verified();
    assert!(verified.contains("verify: 2 views, 0 differences"), "{verified}");
    for view in ["campaign_features", "platform_daily", "ad_metrics_history", "faults"] {
        let published: usize =
            bench.rows(&format!("SELECT count(*) FROM {view}"))[0].parse().expect("a number");
        assert_eq!(raw_rows(&bench.lake(), view), published, "{view}");
    }
    // One more round sees what the last one left: no orphan of all the killed runs stays.
    bench.ok(&["lake", "vacuum"]);
    for view in ["campaign_features", "platform_daily", "ad_metrics_history", "faults"] {
        let table = crate::table(&bench.lake(), view);
        let files = std::fs::read_dir(&table).expect("a table").flatten();
        let files: Vec<_> = files.filter(|f| f.path().is_file()).map(|f| f.file_name()).collect();
        assert_eq!(files.len(), crate::live_files(&bench.lake(), view), "{view}: {files:?}");
    }
    let twice = bench.rows(
        "SELECT campaign_id, metric_hour FROM campaign_features GROUP BY 1, 2 HAVING count(*) > 1",
    );
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn a_changed_committed_value_is_found() {
    let bench = Bench::empty();
    bench.put("t/a.jsonl", "{\"k\": 1, \"v\": 2}\n{\"k\": 1, \"v\": 3}\n");
    bench.once(
        "CREATE SOURCE t (k BIGINT, v BIGINT) WITH (location = 't/', format = 'json');
         CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;",
    );
    bench.verified();
    alter_committed(&bench);
    let output = bench.run(&["verify"]);
    let said = crate::text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("only committed : k=1, v=6"), "{said}");
    assert!(said.contains("only recomputed: k=1, v=5"), "{said}");
}

/// Add one to the committed value, behind the program's back.
fn alter_committed(bench: &Bench) {
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let view = bench.lake().join("views/s");
    let table = std::fs::read_dir(view).expect("a table").flatten().next().expect("one").path();
    let files = std::fs::read_dir(table).expect("files").flatten().map(|e| e.path());
    let path = files.filter(|p| p.is_file()).max().expect("a file");
    let file = std::fs::File::open(&path).expect("opens");
    let mut reader =
        ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("reads");
    let batch = reader.next().expect("rows").expect("readable");
    let values: Int64Array = batch.column(1).as_primitive::<Int64Type>().unary(|v| v + 1);
    let columns = vec![batch.column(0).clone(), Arc::new(values) as ArrayRef];
    let altered = RecordBatch::try_new(batch.schema(), columns).expect("fits");
    let file = std::fs::File::create(&path).expect("opens");
    let mut writer = ArrowWriter::try_new(file, altered.schema(), None).expect("writes");
    writer.write(&altered).expect("writes");
    writer.close().expect("writes");
}
