//! The binary on real lakes: kills, bad input, clusters, the command line.

mod bad_input;
mod cluster;
mod command_line;
mod kill;
mod modes;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
        let path = self.lake().join(name);
        std::fs::create_dir_all(path.parent().expect("in the lake")).expect("a folder");
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, text).expect("written");
        std::fs::rename(&unfinished, &path).expect("renamed");
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

    /// Verify; what it printed.
    pub fn verified(&self) -> String {
        let out = self.ok(&["verify"]);
        assert!(out.contains(" 0 differences"), "{out}");
        out
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every row of the current version of a view's table, read from its Delta log alone.
pub fn raw_rows(lake: &Path, view: &str) -> usize {
    let folder = std::fs::read_dir(lake.join("views").join(view)).expect("the view has a table");
    let table = folder.flatten().map(|e| e.path()).max().expect("one table");
    let mut log: Vec<PathBuf> = std::fs::read_dir(table.join("_delta_log"))
        .expect("a log")
        .flatten()
        .map(|e| e.path())
        .collect();
    log.sort();
    let mut live = std::collections::BTreeMap::new();
    let mut last = None;
    for entry in log.iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
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
    live.values().sum()
}
