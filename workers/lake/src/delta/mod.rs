//! Delta tables: their log, read and written.
//!
//! Own code rather than delta-rs: its commit loop rebases a lost race onto the winner by itself,
//! which would let a fenced incarnation's rewrite and ours both land, and building it takes a
//! third of the whole first build. What is here is one put-if-absent per version (rule P), and a
//! replay of the JSON entries.

mod schema;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::chain::{Chain, Created};
use crate::error::{LakeError, Result};
use crate::store::Store;

pub use schema::{delta_schema, stored_schema};

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Name within the table's folder.
    pub path: String,
    /// Always empty: tables are bucketed by files, not by folders.
    pub partition_values: BTreeMap<String, String>,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970 UTC.
    pub modification_time: i64,
    /// Always true: rows change.
    pub data_change: bool,
    /// `{"numRecords": n}` as text.
    pub stats: String,
    /// What the file owns; see `sink`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A table at a version.
#[derive(Clone, Debug)]
pub struct Table {
    chain: Chain,
    /// The last version; `None` if the table is not there yet.
    pub version: Option<u64>,
    /// Epoch of the incarnation that made the last version.
    pub epoch: u64,
    /// Live files by name.
    pub files: BTreeMap<String, Add>,
}

impl Table {
    /// Load the table in `folder`, at its last version or at `version`.
    ///
    /// # Errors
    /// `Corrupt` if its log has a hole or makes no sense.
    pub async fn load(store: &Store, folder: &str, version: Option<u64>) -> Result<Table> {
        let chain = Chain::new(store, format!("{folder}/_delta_log"));
        let mut table = Table { chain, version: None, epoch: 0, files: BTreeMap::new() };
        for n in table.chain.numbers_after(None).await? {
            if version.is_some_and(|v| n > v) {
                break;
            }
            let name = table.chain.name(n);
            if n != table.version.map_or(0, |v| v + 1) {
                return Err(LakeError::corrupt(name, "a version before it is missing"));
            }
            let missing = || LakeError::corrupt(&name, "it is listed, but not there");
            let bytes = table.chain.get(n).await?.ok_or_else(missing)?;
            table.replay(&name, &bytes)?;
            table.version = Some(n);
        }
        Ok(table)
    }

    fn replay(&mut self, name: &str, bytes: &Bytes) -> Result<()> {
        let bad = |e: &dyn std::fmt::Display| LakeError::corrupt(name, e.to_string());
        for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let action: Value = serde_json::from_slice(line).map_err(|e| bad(&e))?;
            if let Some(add) = action.get("add") {
                let add: Add = serde_json::from_value(add.clone()).map_err(|e| bad(&e))?;
                self.files.insert(add.path.clone(), add);
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                self.files.remove(path);
            }
            if let Some(epoch) = action["commitInfo"]["tidewatch"]["epoch"].as_u64() {
                self.epoch = epoch;
            }
        }
        Ok(())
    }

    /// Commit the next version. On success the table is at it.
    ///
    /// # Errors
    /// `Fenced` if somebody else committed meanwhile: load and compare again, as a new incarnation.
    pub async fn commit(&mut self, commit: &Commit) -> Result<()> {
        let version = self.version.map_or(0, |v| v + 1);
        let bytes = commit.bytes(version == 0)?;
        if self.chain.create(version, &bytes).await? == Created::Lost {
            let name = self.chain.name(version);
            let message = format!("'{name}' is another incarnation's: start again");
            return Err(LakeError::Fenced(message));
        }
        self.replay(&self.chain.name(version), &bytes)?;
        self.version = Some(version);
        Ok(())
    }
}

/// What one version says.
pub struct Commit {
    /// The table's id; also its name for `txn`.
    pub id: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// The time it makes the table right at.
    pub t: u64,
    /// The incarnation.
    pub epoch: u64,
    /// Unique per commit.
    pub nonce: String,
    /// Clock, milliseconds since 1970 UTC.
    pub clock_ms: i64,
    /// Files that come.
    pub added: Vec<Add>,
    /// Names of files that go.
    pub removed: Vec<String>,
}

impl Commit {
    fn bytes(&self, first: bool) -> Result<Bytes> {
        let mut actions = vec![json!({"commitInfo": {
            "timestamp": self.clock_ms,
            "operation": "WRITE",
            "engineInfo": concat!("tidewatch/", env!("CARGO_PKG_VERSION")),
            "tidewatch": {"epoch": self.epoch, "nonce": self.nonce, "t": self.t},
        }})];
        if first {
            let (schema, features) = delta_schema(&self.schema)?;
            actions.push(match features.is_empty() {
                true => json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
                false => json!({"protocol": {
                    "minReaderVersion": 3, "minWriterVersion": 7,
                    "readerFeatures": features, "writerFeatures": features,
                }}),
            });
            actions.push(json!({"metaData": {
                "id": self.id,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": schema.to_string(),
                "partitionColumns": [],
                "configuration": {"delta.enableExpiredLogCleanup": "false"},
                "createdTime": self.clock_ms,
            }}));
        }
        actions.push(json!({"txn": {
            "appId": format!("tidewatch/{}", self.id), "version": self.t,
            "lastUpdated": self.clock_ms,
        }}));
        for path in &self.removed {
            actions.push(json!({"remove": {
                "path": path, "deletionTimestamp": self.clock_ms, "dataChange": true,
            }}));
        }
        for add in &self.added {
            let add = serde_json::to_value(add).map_err(|e| LakeError::corrupt(&self.id, e))?;
            actions.push(json!({ "add": add }));
        }
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        Ok(Bytes::from(lines.join("\n") + "\n"))
    }
}
