//! Style and layering, as tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Floors: a crate imports lower floors only.
const FLOORS: [(&str, u32); 9] = [
    ("tidewatch-schemas", 0),
    ("tidewatch-arrangement", 1),
    ("tidewatch-engine", 2),
    ("tidewatch-sql", 3),
    ("tidewatch-lake", 3),
    ("tidewatch-world", 3),
    ("tidewatch", 5),
    ("tidewatch-tests", 6),
    ("tidewatch-benchmarks", 6),
];

/// Large dependencies live in one room each.
const ROOMS: [(&str, &[&str]); 6] = [
    ("timely", &["tidewatch-arrangement", "tidewatch-engine"]),
    ("differential-dataflow", &["tidewatch-arrangement", "tidewatch-engine"]),
    ("datafusion", &["tidewatch-sql", "tidewatch"]),
    ("object_store", &["tidewatch-lake"]),
    ("clap", &["tidewatch"]),
    ("anyhow", &["tidewatch"]),
];

const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root").to_path_buf()
}

fn packages() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("metadata is JSON");
    let name = |v: &serde_json::Value| v["name"].as_str().expect("names are text").to_string();
    let packages = json["packages"].as_array().expect("packages is a list");
    let normal = |p: &serde_json::Value| {
        let all = p["dependencies"].as_array().expect("dependencies is a list");
        all.iter().filter(|d| d["kind"].is_null()).map(name).collect()
    };
    packages.iter().map(|p| (name(p), normal(p))).collect()
}

#[test]
fn crates_import_lower_floors_only() {
    let floors: BTreeMap<&str, u32> = FLOORS.into_iter().collect();
    let packages = packages();
    assert_eq!(packages.len(), floors.len(), "every crate has a floor: {:?}", packages.keys());
    for (name, dependencies) in &packages {
        for other in dependencies.iter().filter(|d| packages.contains_key(*d)) {
            let (mine, theirs) = (floors[name.as_str()], floors[other.as_str()]);
            assert!(theirs < mine, "{name} (floor {mine}) imports {other} (floor {theirs})");
        }
    }
}

#[test]
fn large_dependencies_live_in_one_room() {
    for (name, dependencies) in packages() {
        // The roof holds oracles and baselines.
        if ["tidewatch-tests", "tidewatch-benchmarks"].contains(&name.as_str()) {
            continue;
        }
        for (heavy, rooms) in ROOMS {
            let used = dependencies.iter().any(|d| d == heavy);
            assert!(!used || rooms.contains(&name.as_str()), "{name} imports {heavy}");
        }
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("folder is readable").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_are_small_and_named_for_what_they_hold() {
    let mut files = vec![];
    rust_files(&root(), &mut files);
    assert!(files.len() > 30, "the walk found the workspace");
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let banned = ["util", "utils", "helper", "helpers", "common", "manager", "misc", "v2"];
        assert!(!banned.contains(&stem.as_str()), "{}: name the job", file.display());
        let lines = std::fs::read_to_string(&file).expect("source is text").lines().count();
        assert!(lines <= LINES_MAX, "{}: {lines} lines, at most {LINES_MAX}", file.display());
    }
}

#[test]
fn library_code_reads_no_clock_and_no_environment() {
    let banned = ["SystemTime::now", "Instant::now", "env::var", "thread_rng", "rand::rng()"];
    for crate_dir in [
        "schemas",
        "workers/arrangement",
        "workers/engine",
        "workers/lake",
        "workers/sql",
        "workers/world",
    ] {
        let mut files = vec![];
        rust_files(&root().join(crate_dir).join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).expect("source is text");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for call in banned {
                assert!(!code.contains(call), "{}: {call} comes in as an argument", file.display());
            }
        }
    }
}

#[test]
fn every_dataflow_says_what_it_answers() {
    let mut sql = vec![];
    for folder in std::fs::read_dir(root().join("dataflows")).expect("dataflows/ exists").flatten()
    {
        for file in std::fs::read_dir(folder.path()).expect("a dataflow is a folder").flatten() {
            sql.push(file.path());
        }
    }
    sql.retain(|p| p.extension().is_some_and(|e| e == "sql"));
    assert!(!sql.is_empty());
    for file in sql {
        let text = std::fs::read_to_string(&file).expect("SQL is text");
        assert!(text.starts_with("--"), "{}: begin with what it answers", file.display());
    }
}
