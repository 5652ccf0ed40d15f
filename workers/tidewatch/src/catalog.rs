//! Statements: from files, from a lake's log, and what of them is new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use arrow::datatypes::FieldRef;
use engine::faults::FAULTS;
use engine::plan::Mode;
use engine::ports::{Fault, SourceFile};
use lake::Store;
use lake::log::{LakeState, Statement as Logged};
use lake::published::Published;
use lake::source::{Format, SourceConfig, history, open_location};
use schemas::Time;
use sql::{Catalog, SourceDef, SqlError, SqlErrorKind, Statement, StatementKind, parse};

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
    let catalog = Catalog::new(statements)?;
    for source in catalog.sources() {
        format(source)?;
    }
    Ok(catalog)
}

/// How a source's files are read.
fn format(source: &SourceDef) -> Result<Format, SqlError> {
    let refuse = |message: String, hint: String| {
        let error = SqlError::new(SqlErrorKind::Invalid, message).hint(hint);
        error.at(&source.statement.origin, source.statement.place)
    };
    let (name, named) = (&source.name, &source.format);
    let format = Format::named(named).ok_or_else(|| {
        let hint = format!("the formats are {}", Format::names().join(", "));
        refuse(format!("unknown format '{named}' of source '{name}'"), hint)
    })?;
    if format.is_table() && source.mode != Mode::Replace {
        let message = format!("source '{name}' is a table, whose rows come and go");
        return Err(refuse(message, "write mode = 'replace'".to_string()));
    }
    Ok(format)
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
            let before = state.statements.get(&id);
            let continues = before.is_some_and(|s| goes_on(&id, &s.text, source));
            logged.push(Logged { id: id.clone(), text: text.clone(), continues });
        }
        wanted.insert(id, text);
    }
    for view in catalog.views() {
        let (id, text) = (id(&view.statement), view.statement.text.clone());
        if new(&id, &text) || view.reads.iter().any(|r| changed.contains(r)) {
            changed.insert(view.name.clone());
            logged.push(Logged { id: id.clone(), text: text.clone(), continues: false });
        }
        wanted.insert(id, text);
    }
    let dropped = state.statements.keys().filter(|id| !wanted.contains_key(*id));
    let drop = |id: &String| Logged { id: id.clone(), text: String::new(), continues: false };
    logged.extend(dropped.map(drop));
    logged
}

/// Whether the history of a source goes on under another statement: versions whose files are gone
/// are in it only. What was declared has to be declared still, and what is new may be null.
fn goes_on(id: &str, before: &str, source: &SourceDef) -> bool {
    let Ok(catalog) = plan(&[(id.to_string(), before.to_string())]) else { return false };
    let Some(before) = catalog.source(&source.name) else { return false };
    let upserts = |s: &SourceDef| matches!(s.mode, Mode::Upsert(_));
    let (was, is) = (&before.schema, &source.schema);
    let kept = |f: &FieldRef| {
        is.field_with_name(f.name()).is_ok_and(|now| now.data_type() == f.data_type())
    };
    let added = |f: &FieldRef| f.is_nullable() || was.field_with_name(f.name()).is_ok();
    upserts(before)
        && upserts(source)
        && was.fields().iter().all(kept)
        && is.fields().iter().all(added)
}

/// When each committed view was created, and when each source was declared as it is.
pub fn created(catalog: &Catalog, state: &LakeState) -> BTreeMap<String, Time> {
    let stated = |id: String| state.statements.get(&id);
    let at = |id: String| stated(id).map_or(0, |s| s.t);
    let since = |id: String| stated(id).map_or(0, |s| s.since.unwrap_or(s.t));
    let views = catalog.views().iter().map(|v| (v.name.clone(), at(format!("view {}", v.name))));
    let sources = catalog.sources().flat_map(|s| {
        let id = format!("source {}", s.name);
        [(s.name.clone(), at(id.clone())), (format!("{}_history", s.name), since(id))]
    });
    views.chain(sources).chain([(FAULTS.to_string(), 0)]).collect()
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
        faults.extend(lost.filter(|(_, t)| **t > stated).map(|(path, _)| {
            Fault {
                origin: source.name.clone(),
                file: path.clone(),
                row: None,
                column: String::new(),
                reason:
                    "was deleted or overwritten, and its rows were taken back: files only appear \
                     in this source (mode = 'replace' allows it)"
                        .to_string(),
            }
        }));
    }
    faults
}

/// The sources, opened. `created` says when each was declared.
pub fn sources(
    catalog: &Catalog,
    created: &[(String, Time)],
    lake: &str,
    s3: &BTreeMap<String, String>,
) -> Result<Vec<SourceConfig>> {
    let open = |s: &SourceDef| -> Result<SourceConfig> {
        let location =
            open_location(&s.location, lake, s3).with_context(|| format!("source '{}'", s.name))?;
        let declared = created.iter().find(|(n, _)| *n == s.name).map_or(0, |(_, t)| *t);
        let (name, schema) = (s.name.clone(), s.file_schema.clone());
        let mut config = SourceConfig::new(name, location, format(s)?, schema, declared);
        config.optional = s.optional.iter().cloned().collect();
        config.checks = s.checks.clone().into();
        Ok(config)
    };
    catalog.sources().map(open).collect()
}
