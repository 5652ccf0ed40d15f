//! Statements: from files, from a lake's log, and what of them is new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use engine::faults::FAULTS;
use engine::plan::Mode;
use engine::ports::{Fault, SourceFile};
use lake::Store;
use lake::log::{LakeState, Statement as Logged};
use lake::published::Published;
use lake::source::{Format, SourceConfig, history, open_location};
use schemas::Time;
use sql::{Catalog, FileFormat, Statement, StatementKind, parse};

/// (origin, text) of all statements in `paths`: SQL files, or folders of them.
pub fn from_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut files = vec![];
    for path in paths {
        if path.is_dir() {
            let found = files.len();
            let entries = std::fs::read_dir(path)
                .with_context(|| format!("folder '{}' cannot be read", path.display()))?;
            let mut inside: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
            inside.retain(|p| p.extension().is_some_and(|e| e == "sql"));
            inside.sort();
            files.extend(inside);
            ensure!(files.len() > found, "folder '{}' holds no .sql file", path.display());
        } else {
            files.push(path.clone());
        }
    }
    let read = |path: &Path| -> Result<(String, String)> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("'{}' cannot be read", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    files.iter().map(|p| read(p)).collect()
}

/// (origin, text) of the statements a lake has.
pub fn from_log(state: &LakeState) -> Vec<(String, String)> {
    state.statements.iter().map(|(id, s)| (id.clone(), s.text.clone())).collect()
}

/// Parse and plan.
pub fn plan(texts: &[(String, String)]) -> Result<Catalog> {
    let mut statements = vec![];
    for (origin, text) in texts {
        statements.extend(parse(text, origin)?);
    }
    ensure!(!statements.is_empty(), "there are no statements: name SQL files to run");
    Ok(Catalog::new(statements)?)
}

fn id(statement: &Statement) -> String {
    match &statement.kind {
        StatementKind::Source(s) => format!("source {}", s.name),
        StatementKind::View(v) => format!("view {}", v.name),
        StatementKind::Query => "query".to_string(),
    }
}

/// What to log so that the lake has exactly `catalog`: statements that are new or changed, views
/// that read what changed (their tables begin anew), and drops.
pub fn difference(catalog: &Catalog, state: &LakeState) -> Vec<Logged> {
    let mut changed: BTreeSet<String> = BTreeSet::new();
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    let mut logged = vec![];
    let new = |id: &str, text: &str| state.statements.get(id).is_none_or(|s| s.text != text);
    for source in catalog.sources() {
        let (id, text) = (id(&source.statement), source.statement.text.clone());
        if new(&id, &text) {
            changed.insert(source.name.clone());
            changed.insert(format!("{}_history", source.name));
            logged.push(Logged { id: id.clone(), text: text.clone() });
        }
        wanted.insert(id, text);
    }
    for view in catalog.views() {
        let (id, text) = (id(&view.statement), view.statement.text.clone());
        if new(&id, &text) || view.reads.iter().any(|r| changed.contains(r)) {
            changed.insert(view.name.clone());
            logged.push(Logged { id: id.clone(), text: text.clone() });
        }
        wanted.insert(id, text);
    }
    let dropped = state.statements.keys().filter(|id| !wanted.contains_key(*id));
    logged.extend(dropped.map(|id| Logged { id: id.clone(), text: String::new() }));
    logged
}

/// When each committed view was created.
pub fn created(catalog: &Catalog, state: &LakeState) -> BTreeMap<String, Time> {
    let at = |id: String| state.statements.get(&id).map_or(0, |s| s.t);
    let views = catalog.views().iter().map(|v| (v.name.clone(), at(format!("view {}", v.name))));
    let histories = catalog
        .sources()
        .map(|s| (format!("{}_history", s.name), at(format!("source {}", s.name))));
    views.chain(histories).chain([(FAULTS.to_string(), 0)]).collect()
}

/// History files of the upsert sources that lost files: the versions those brought stay.
/// As `published`, or the last ones.
pub async fn histories(
    catalog: &Catalog,
    state: &LakeState,
    store: &Store,
    created: &[(String, Time)],
    published: Option<&Published>,
) -> Result<Vec<SourceFile>> {
    let mut files = vec![];
    for source in catalog.sources() {
        if !matches!(source.mode, Mode::Upsert(_)) || !state.lost.contains_key(&source.name) {
            continue;
        }
        let name = format!("{}_history", source.name);
        let version = published.and_then(|p| p.views.get(&name)).map(|v| v.version);
        if published.is_some() && version.is_none() {
            continue;
        }
        let at = created.iter().find(|(n, _)| *n == name).map_or(0, |(_, t)| *t);
        files.extend(history(store, &source.name, at, version).await?);
    }
    Ok(files)
}

/// Files that `append` and `changes` sources lost since they were stated: files only appear there.
pub fn losses(catalog: &Catalog, state: &LakeState) -> Vec<Fault> {
    let mut faults = vec![];
    for source in catalog.sources() {
        if !matches!(source.mode, Mode::Append | Mode::Changes { .. }) {
            continue;
        }
        let stated = state.statements.get(&id(&source.statement)).map_or(0, |s| s.t);
        let lost = state.lost.get(&source.name).into_iter().flatten();
        faults.extend(lost.filter(|(_, t)| **t > stated).map(|(path, _)| Fault {
            origin: source.name.clone(),
            file: path.clone(),
            row: None,
            column: String::new(),
            reason: "was deleted or overwritten, and its rows were taken back: files only appear \
                     in this source (mode = 'replace' allows it)"
                .to_string(),
        }));
    }
    faults
}

/// The sources, opened.
pub fn sources(
    catalog: &Catalog,
    lake: &str,
    s3: &BTreeMap<String, String>,
) -> Result<Vec<SourceConfig>> {
    let open = |s: &sql::SourceDef| -> Result<SourceConfig> {
        let location =
            open_location(&s.location, lake, s3).with_context(|| format!("source '{}'", s.name))?;
        let format = match s.format {
            FileFormat::Parquet => Format::Parquet,
            FileFormat::JsonLines => Format::JsonLines,
        };
        let schema = s.file_schema.clone();
        Ok(SourceConfig { name: s.name.clone(), location, format, schema })
    };
    catalog.sources().map(open).collect()
}
