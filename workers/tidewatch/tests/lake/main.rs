//! The binary on real lakes: kills, bad input, clusters, the command line.

mod bad_input;
mod checks;
mod cluster;
mod command_line;
mod delta_source;
mod evolution;
mod formats;
mod kill;
mod live_world;
mod memory;
mod modes;
mod restated;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use tempfile::TempDir;

/// A lake and a folder for SQL, in a temporary folder.
pub struct Bench {
    folder: TempDir,
}

impl Bench {
    /// An empty lake.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(folder.path().join("lake")).expect("a lake");
        let settings = "[sources]\nsettle_ms = 0\npoll_ms = 20\n";
        std::fs::write(folder.path().join("settings.toml"), settings).expect("settings");
        Bench { folder }
    }

    /// The same, vacuumed all the time.
    pub fn tidy() -> Self {
        let bench = Bench::empty();
        let path = bench.path("settings.toml");
        let settings = std::fs::read_to_string(&path).expect("written before");
        let views = "[views]\ncheckpoint_versions = 1\nkeep_minutes = 0\n";
        std::fs::write(&path, settings + views).expect("settings");
        bench
    }

    /// Its folder.
    pub fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// A path beside the lake.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Write a file of the lake, whole.
    pub fn put(&self, name: &str, text: &str) {
        self.put_bytes(name, text.as_bytes());
    }

    /// The same with any content.
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.lake().join(name);
        std::fs::create_dir_all(path.parent().expect("in the lake")).expect("a folder");
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, bytes).expect("written");
        std::fs::rename(&unfinished, &path).expect("renamed");
    }

    /// Delete a file of the lake.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.lake().join(name)).expect("removed");
    }

    /// The program, with this lake's settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
        command.arg("--quiet").arg("--config").arg(self.folder.path().join("settings.toml"));
        command.args(args).env("TIDEWATCH_LAKE", self.lake()).env_remove("AWS_ACCESS_KEY_ID");
        command
    }

    /// Run to the end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// Run, and panic unless it succeeds; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{args:?}: {}\n{out}{err}", output.status);
        out
    }

    /// Run, and panic unless it fails; what it said.
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success(), "{args:?} succeeded:\n{out}{err}");
        err
    }

    /// Write `sql` and bring the lake up to date with it.
    pub fn once(&self, sql: &str) -> String {
        std::fs::write(self.path("views.sql"), sql).expect("written");
        self.ok(&["run", &self.path("views.sql").display().to_string(), "--once"])
    }

    /// A query's rows as CSV lines, sorted, without the header.
    pub fn rows(&self, query: &str) -> Vec<String> {
        let csv = self.ok(&["sql", "--format", "csv", query]);
        let mut rows: Vec<String> = csv.lines().skip(1).map(str::to_string).collect();
        rows.sort();
        rows
    }

    /// Wait until something is published after `before` objects.
    pub fn published(&self, before: usize) {
        let folder = self.lake().join("_tidewatch/published");
        let there = || std::fs::read_dir(&folder).map_or(0, |d| d.flatten().count());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while there() <= before {
            assert!(std::time::Instant::now() < deadline, "nothing was published");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Wait until a query answers with these rows, sorted.
    pub fn eventually(&self, query: &str, want: &[&str]) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.rows(query) != want {
            let late = std::time::Instant::now() > deadline;
            assert!(!late, "{query} answers {:?}, not {want:?}", self.rows(query));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Verify; what it printed.
    pub fn verified(&self) -> String {
        let out = self.ok(&["verify"]);
        assert!(out.contains(" 0 differences"), "{out}");
        out
    }
}

/// Columns as a Parquet file.
pub fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut writer = parquet::arrow::ArrowWriter::try_new(vec![], batch.schema(), None)
        .expect("Parquet holds it");
    writer.write(&batch).expect("written");
    writer.into_inner().expect("written")
}

/// Whole numbers as a column.
pub fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rows of each live file, by name, as a checkpoint says.
fn checkpointed(path: &Path) -> std::collections::BTreeMap<String, usize> {
    use arrow::array::{Array, AsArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let file = std::fs::File::open(path).expect("opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build());
    let mut live = std::collections::BTreeMap::new();
    for batch in reader.expect("Parquet") {
        let batch = batch.expect("readable");
        let add = batch.column_by_name("add").expect("files").as_struct();
        let text = |name: &str| add.column_by_name(name).expect("there").as_string::<i32>().clone();
        let (paths, stats) = (text("path"), text("stats"));
        for i in (0..batch.num_rows()).filter(|i| add.is_valid(*i)) {
            let stats: serde_json::Value = serde_json::from_str(stats.value(i)).expect("JSON");
            let rows = stats["numRecords"].as_u64().expect("rows") as usize;
            live.insert(paths.value(i).to_string(), rows);
        }
    }
    live
}

/// The folder of a view's table.
pub fn table(lake: &Path, view: &str) -> PathBuf {
    let folder = std::fs::read_dir(lake.join("views").join(view)).expect("the view has a table");
    folder.flatten().map(|e| e.path()).max().expect("one table")
}

/// How many rows the current version of a view's table has, by its Delta log alone.
pub fn raw_rows(lake: &Path, view: &str) -> usize {
    raw_files(lake, view).values().sum()
}

/// How many files the current version of a view's table has, by its Delta log alone.
pub fn live_files(lake: &Path, view: &str) -> usize {
    raw_files(lake, view).len()
}

/// The rows of each file of the current version of a view's table, read from its Delta log alone.
fn raw_files(lake: &Path, view: &str) -> std::collections::BTreeMap<String, usize> {
    let table = table(lake, view);
    let mut log: Vec<PathBuf> = std::fs::read_dir(table.join("_delta_log"))
        .expect("a log")
        .flatten()
        .map(|e| e.path())
        .collect();
    log.sort();
    let checkpoint = log.iter().rfind(|p| p.extension().is_some_and(|e| e == "parquet"));
    let mut live = checkpoint.map(|c| checkpointed(c)).unwrap_or_default();
    let from = checkpoint.map(|c| c.with_extension("").with_extension("json"));
    let mut last = None;
    let entries = log.iter().filter(|p| p.extension().is_some_and(|e| e == "json"));
    for entry in entries.filter(|p| from.as_ref().is_none_or(|from| *p > from)) {
        for line in std::fs::read_to_string(entry).expect("readable").lines() {
            let action: serde_json::Value = serde_json::from_str(line).expect("JSON");
            if let Some(path) = action["add"]["path"].as_str() {
                let stats: serde_json::Value =
                    serde_json::from_str(action["add"]["stats"].as_str().expect("stats"))
                        .expect("JSON");
                live.insert(path.to_string(), stats["numRecords"].as_u64().expect("rows") as usize);
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                assert!(live.remove(path).is_some(), "{path} is removed, but was not there");
            }
            if let Some(t) = action["txn"]["version"].as_u64() {
                assert!(last < Some(t), "times rise: {last:?} {t}");
                last = Some(t);
            }
        }
    }
    live.keys().for_each(|f| assert!(table.join(f).exists(), "{f} is named, but not there"));
    live
}
