//! Delta tables as sources: a snapshot of the live files, then what the log adds and removes.
//!
//! The data files are Parquet; which of them count is what the table's log says, not what is in the
//! folder. The log is read once and then followed: only entries behind the known version are read.
//! What the table needs its readers to know and we do not (deletion vectors, column mapping, other
//! reader features) is refused, never skipped. The change data feed is not read: files that an
//! update rewrites are taken back and read anew, and equal rows cancel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::ports::{PortError, PortErrorKind};
use futures::TryStreamExt;
use object_store::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::list::{Listed, listed};
use super::location::store_error;
use super::parquet::Parquet;
use super::reader::Reading;
use super::{Batches, FileFormat, Partition, SourceConfig, hive};
use crate::delta::{LogListing, Table, actions};
use crate::error::LakeError;
use crate::store::Store;

/// Reader features that change nothing about reading, or that are only refused where they are used.
const FEATURES: [&str; 4] =
    ["timestampNtz", "columnMapping", "deletionVectors", "vacuumProtocolCheck"];
/// Readings of a log that somebody cleans meanwhile, before it counts as broken.
const READS_MAX: usize = 5;

/// A Delta table.
#[derive(Debug)]
pub(crate) struct DeltaTable;

impl FileFormat for DeltaTable {
    fn name(&self) -> &'static str {
        "delta"
    }

    fn endings(&self) -> &'static [&'static str] {
        Parquet.endings()
    }

    fn is_table(&self) -> bool {
        true
    }

    fn is_whole(&self, head: &[u8], tail: &[u8]) -> bool {
        Parquet.is_whole(head, tail)
    }

    fn read(&self, reading: Reading, partition: Partition, bytes: Bytes) -> Batches {
        Parquet.read(reading, partition, bytes)
    }
}

/// What is known of a table that is followed.
#[derive(Debug, Default)]
pub(crate) struct Following(Mutex<Option<Arc<Snapshot>>>);

/// A table at a version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    version: Option<u64>,
    /// Live files by path.
    live: BTreeMap<String, LiveFile>,
    /// Names of its columns.
    columns: BTreeSet<String>,
    partitioned_by: Vec<String>,
    /// The live files as the store lists them.
    listed: Vec<Listed>,
}

/// An `add` action, as far as reading needs it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LiveFile {
    path: String,
    #[serde(default)]
    partition_values: BTreeMap<String, Option<String>>,
    #[serde(default)]
    deletion_vector: Option<Value>,
}

/// The live files of a table now.
pub(super) async fn list(config: &SourceConfig) -> Result<Vec<Listed>, PortError> {
    let location = &config.location;
    let store = Store { inner: location.store.clone(), root: location.prefix.clone(), local: None };
    let mut known = config.table.0.lock().unwrap_or_else(|p| p.into_inner()).clone();
    for _ in 0..READS_MAX {
        let log = Table::log(&store, "").await?;
        let last = log.versions.last().or(log.checkpoints.keys().next_back());
        let Some(last) = last.copied() else {
            let message = format!(
                "source '{}': '{}' is no Delta table: it has no _delta_log",
                config.name, location.shown
            );
            return Err(PortError::new(PortErrorKind::Invalid, message));
        };
        let mut snapshot = match known.take() {
            Some(known) if known.version == Some(last) => return Ok(known.listed.clone()),
            Some(known) if known.version < Some(last) => known.as_ref().clone(),
            // Another table took its place.
            _ => Snapshot::default(),
        };
        // Whatever is missing was cleaned meanwhile: begin with the newest checkpoint.
        if snapshot.advance(config, &store, &log).await? {
            snapshot.check(config)?;
            if snapshot.list(config).await? {
                let listed = snapshot.listed.clone();
                let following = config.table.0.lock();
                *following.unwrap_or_else(|p| p.into_inner()) = Some(Arc::new(snapshot));
                return Ok(listed);
            }
        }
    }
    let what = format!("source '{}': the Delta table at '{}'", config.name, location.shown);
    let reason = "an entry of its log, its checkpoint in one file, or a live file is missing";
    Err(LakeError::corrupt(what, reason).into())
}

impl Snapshot {
    /// Replay what is behind the known version. `false` if an entry is missing.
    async fn advance(
        &mut self,
        config: &SourceConfig,
        store: &Store,
        log: &LogListing,
    ) -> Result<bool, PortError> {
        let checkpoint = log.checkpoints.keys().next_back().filter(|_| self.version.is_none());
        if let Some(n) = checkpoint {
            let Some(bytes) = Table::checkpoint_entry(store, "", *n).await? else {
                return Ok(false);
            };
            self.replay(config, *n, &bytes)?;
        }
        let mut next = self.version.map_or(0, |v| v + 1);
        let from = next;
        for n in log.versions.iter().copied().filter(|n| *n >= from) {
            let name = format!("_delta_log/{n:020}.json");
            let bytes = store.get(&name).await?.filter(|_| n == next);
            let Some(bytes) = bytes else { return Ok(false) };
            self.replay(config, n, &bytes)?;
            next = n + 1;
        }
        Ok(self.version.is_some())
    }

    fn replay(
        &mut self,
        config: &SourceConfig,
        version: u64,
        bytes: &[u8],
    ) -> Result<(), PortError> {
        let name = format!("{}/_delta_log: version {version}", config.location.shown);
        for action in actions(&name, bytes)? {
            if action["add"].is_object() {
                let add = serde_json::from_value(action["add"].clone());
                let add: LiveFile = add.map_err(|e| LakeError::corrupt(&name, e))?;
                self.live.insert(add.path.clone(), add);
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                self.live.remove(path);
            }
            if action["protocol"].is_object() {
                known_protocol(config, &action["protocol"])?;
            }
            if action["metaData"].is_object() {
                self.describe(config, &action["metaData"])?;
            }
        }
        self.version = Some(version);
        Ok(())
    }

    fn describe(&mut self, config: &SourceConfig, meta_data: &Value) -> Result<(), PortError> {
        let mapping = &meta_data["configuration"]["delta.columnMapping.mode"];
        if mapping.as_str().is_some_and(|mode| mode != "none") {
            return Err(refused(config, "maps its columns to other names (column mapping)"));
        }
        let schema = meta_data["schemaString"].as_str().unwrap_or_default();
        let schema: Value = serde_json::from_str(schema)
            .map_err(|e| LakeError::corrupt(format!("{}: schema", config.location.shown), e))?;
        let names = |v: &Value, of: fn(&Value) -> &Value| -> Vec<String> {
            let all = v.as_array().map(Vec::as_slice).unwrap_or_default();
            all.iter().filter_map(|v| of(v).as_str()).map(str::to_string).collect()
        };
        self.columns = names(&schema["fields"], |f| &f["name"]).into_iter().collect();
        self.partitioned_by = names(&meta_data["partitionColumns"], |c| c);
        Ok(())
    }

    /// Whether the table can be read as declared.
    fn check(&self, config: &SourceConfig) -> Result<(), PortError> {
        for field in config.schema.fields() {
            if !self.columns.contains(field.name()) && !config.optional.contains(field.name()) {
                let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
                let message = format!(
                    "source '{}': the Delta table at '{}' has no column '{}': its columns are {}; \
                     correct the declaration, or say DEFAULT NULL if it may be absent",
                    config.name,
                    config.location.shown,
                    field.name(),
                    columns.join(", ")
                );
                return Err(PortError::new(PortErrorKind::Invalid, message));
            }
        }
        for file in self.live.values() {
            if file.deletion_vector.as_ref().is_some_and(|v| !v.is_null()) {
                return Err(refused(config, "has deleted rows in files (deletion vectors)"));
            }
            if file.path.contains("://") || file.path.starts_with('/') {
                return Err(refused(config, "has files outside of its folder"));
            }
            let said: BTreeMap<String, Option<String>> =
                hive::folders(&decoded(&file.path)).collect();
            for column in &self.partitioned_by {
                // An empty value is null, and so is one that is not there.
                let value = file.partition_values.get(column).cloned().flatten();
                let value = value.filter(|v| !v.is_empty());
                if said.get(column) != Some(&value) {
                    return Err(refused(
                        config,
                        "has files whose folders do not name their values",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Find the live files in the store. `false` if one is not there.
    async fn list(&mut self, config: &SourceConfig) -> Result<bool, PortError> {
        let location = &config.location;
        let doing = || format!("source '{}': listing '{}'", config.name, location.shown);
        let found = location.store.list(Some(&location.prefix));
        let found: Vec<ObjectMeta> =
            found.try_collect().await.map_err(|e| store_error(doing(), e))?;
        let found = found.iter().filter_map(|m| listed(m, &location.prefix));
        let mut found: BTreeMap<String, Listed> = found.map(|l| (l.path.clone(), l)).collect();
        self.listed = vec![];
        for path in self.live.keys() {
            let Some(file) = found.remove(&decoded(path)) else { return Ok(false) };
            self.listed.push(file);
        }
        self.listed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(true)
    }
}

fn known_protocol(config: &SourceConfig, protocol: &Value) -> Result<(), PortError> {
    let version = protocol["minReaderVersion"].as_u64().unwrap_or(0);
    if version > 3 {
        return Err(refused(config, &format!("wants readers of version {version}")));
    }
    let features = protocol["readerFeatures"].as_array().map(Vec::as_slice).unwrap_or_default();
    match features.iter().find(|f| !f.as_str().is_some_and(|f| FEATURES.contains(&f))) {
        None => Ok(()),
        Some(feature) => {
            let feature = feature.as_str().unwrap_or_default();
            Err(refused(config, &format!("wants readers to know '{feature}'")))
        }
    }
}

fn refused(config: &SourceConfig, what: &str) -> PortError {
    let message = format!(
        "source '{}': the Delta table at '{}' {what}, which is not read yet: write it without, or \
         copy it to one",
        config.name, config.location.shown
    );
    PortError::new(PortErrorKind::Invalid, message)
}

/// Paths in a log are written as in a URL.
fn decoded(path: &str) -> String {
    hive::decode(path)
}
