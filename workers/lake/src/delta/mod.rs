//! Delta tables: their log, read and written.
//!
//! Own code rather than delta-rs: its commit loop rebases a lost race onto the winner by itself,
//! which would let a fenced incarnation's rewrite and ours both land, and building it takes a
//! third of the whole first build. What is here is one put-if-absent per version (rule P), and a
//! replay of the newest checkpoint and the JSON entries behind it.

mod checkpoint;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
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
    /// JSON: `numRecords`, `minValues`, `maxValues`, `nullCount`.
    pub stats: String,
    /// What the file owns; see `sink`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Entries of a log that are read at once.
const READS_AT_ONCE: usize = 16;
/// Readings of a log that cleaning cuts meanwhile, before it counts as broken.
const READS_MAX: usize = 5;

/// A table at a version.
#[derive(Clone, Debug)]
pub struct Table {
    store: Store,
    chain: Chain,
    /// The last version; `None` if the table is not there yet.
    pub version: Option<u64>,
    /// Epoch of the incarnation that made the last version.
    pub epoch: u64,
    /// Live files by name.
    pub files: BTreeMap<String, Add>,
    /// The last `protocol`, `metaData` and `txn`.
    standing: BTreeMap<&'static str, Value>,
}

/// What a table's log is made of now.
pub(crate) struct LogListing {
    /// Versions that have an entry, rising.
    pub versions: Vec<u64>,
    /// Versions that have a checkpoint, rising, and when each was written (µs since 1970 UTC).
    pub checkpoints: BTreeMap<u64, i64>,
}

/// Names that a table's log mentions.
pub(crate) struct Mentioned {
    /// Files of a version, or added later.
    pub reachable: BTreeSet<String>,
    /// Files removed at or before that version, as far as the log still says so.
    pub removed: BTreeSet<String>,
}

impl Table {
    fn empty(store: &Store, folder: &str) -> Table {
        Table {
            store: store.clone(),
            chain: Chain::new(store, format!("{folder}/_delta_log")),
            version: None,
            epoch: 0,
            files: BTreeMap::new(),
            standing: BTreeMap::new(),
        }
    }

    /// Load the table in `folder`, at its last version or at `version`.
    ///
    /// # Errors
    /// `Corrupt` if its log has a hole or makes no sense.
    pub async fn load(store: &Store, folder: &str, version: Option<u64>) -> Result<Table> {
        for _ in 0..READS_MAX {
            let mut table = Table::empty(store, folder);
            if table.read(version).await? {
                return Ok(table);
            }
        }
        Err(LakeError::corrupt(format!("{folder}/_delta_log"), "a version is missing"))
    }

    /// What the log of the table in `folder` is made of.
    pub(crate) async fn log(store: &Store, folder: &str) -> Result<LogListing> {
        Table::empty(store, folder).listing().await
    }

    async fn listing(&self) -> Result<LogListing> {
        let mut listing = LogListing { versions: vec![], checkpoints: BTreeMap::new() };
        for object in self.store.list(self.chain.folder(), None).await? {
            let name = object.name.rsplit('/').next().unwrap_or_default();
            let number = |stem: &str| (stem.len() == 20).then(|| stem.parse().ok()).flatten();
            if let Some(n) = name.strip_suffix(".json").and_then(number) {
                listing.versions.push(n);
            } else if let Some(n) = name.strip_suffix(".checkpoint.parquet").and_then(number) {
                listing.checkpoints.insert(n, object.modified_us);
            }
        }
        Ok(listing)
    }

    /// `false` if something that is listed is not there: cleaning cut the log meanwhile.
    async fn read(&mut self, version: Option<u64>) -> Result<bool> {
        let listing = self.listing().await?;
        let wanted = |n: &u64| version.is_none_or(|v| *n <= v);
        let checkpoint = listing.checkpoints.keys().copied().rfind(wanted);
        let mut next = 0;
        if let Some(n) = checkpoint {
            let Some(bytes) = self.checkpointed(n).await? else { return Ok(false) };
            self.replay(&self.checkpoint_name(n), &bytes)?;
            next = n;
        }
        // The checkpoint's own entry is read again: it says who wrote it, and repeats the rest.
        let entries = listing.versions.into_iter().filter(|n| *n >= next && wanted(n));
        let chain = self.chain.clone();
        let read = futures::stream::iter(entries).map(|n| {
            let chain = &chain;
            async move { chain.get(n).await.map(|bytes| (n, bytes)) }
        });
        let read: Vec<(u64, Option<Bytes>)> = read.buffered(READS_AT_ONCE).try_collect().await?;
        for (n, bytes) in read {
            let Some(bytes) = bytes.filter(|_| n == next) else { return Ok(false) };
            self.replay(&self.chain.name(n), &bytes)?;
            self.version = Some(n);
            next = n + 1;
        }
        Ok(checkpoint.is_none() || self.version.is_some())
    }

    fn replay(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        for mut action in actions(name, bytes)? {
            if let Some(add) = action.get("add") {
                let add = serde_json::from_value(add.clone());
                let add: Add = add.map_err(|e| LakeError::corrupt(name, e))?;
                self.files.insert(add.path.clone(), add);
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                self.files.remove(path);
            }
            if let Some(epoch) = action["commitInfo"]["tidewatch"]["epoch"].as_u64() {
                self.epoch = epoch;
            }
            for kind in ["protocol", "metaData", "txn"] {
                if action[kind].is_object() {
                    self.standing.insert(kind, action[kind].take());
                }
            }
        }
        Ok(())
    }

    /// The actions of the checkpoint at `version`, as lines of JSON; `None` if it is not there.
    async fn checkpointed(&self, version: u64) -> Result<Option<Bytes>> {
        let name = self.checkpoint_name(version);
        let Some(bytes) = self.store.get(&name).await? else { return Ok(None) };
        checkpoint::decode(&name, bytes).map(Some)
    }

    /// The same of the table in `folder`, which may be somebody else's.
    pub(crate) async fn checkpoint_entry(
        store: &Store,
        folder: &str,
        version: u64,
    ) -> Result<Option<Bytes>> {
        Table::empty(store, folder).checkpointed(version).await
    }

    fn checkpoint_name(&self, version: u64) -> String {
        format!("{}/{version:020}.checkpoint.parquet", self.chain.folder())
    }

    /// Write a checkpoint at the table's version, so that what is before it need not be replayed.
    ///
    /// # Errors
    /// Outages. Somebody else's checkpoint of the version is as good as ours.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        let Some(version) = self.version else { return Ok(()) };
        let name = self.checkpoint_name(version);
        let standing = self.standing.iter().map(|(kind, value)| json!({ *kind: value }));
        let adds = self.files.values().map(|add| json!({ "add": add }));
        let actions: Vec<Value> = standing.chain(adds).collect();
        let bytes = checkpoint::encode(&name, &actions)?;
        match self.store.put_new(&name, bytes).await {
            Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(source) => Err(LakeError::Store { action: "written", name, source }),
        }
    }

    /// What the log of the table in `folder` says of files, seen from `version`.
    pub(crate) async fn mentioned(store: &Store, folder: &str, version: u64) -> Result<Mentioned> {
        let table = Table::load(store, folder, Some(version)).await?;
        let mut reachable: BTreeSet<String> = table.files.into_keys().collect();
        let mut removed = BTreeSet::new();
        for n in table.chain.numbers_after(None).await? {
            let Some(bytes) = table.chain.get(n).await? else { continue };
            for action in actions(&table.chain.name(n), &bytes)? {
                let path = |kind: &str| action[kind]["path"].as_str().map(str::to_string);
                if n > version {
                    reachable.extend(path("add"));
                } else {
                    removed.extend(path("remove"));
                }
            }
        }
        Ok(Mentioned { reachable, removed })
    }

    /// Delete what a reader of `version` or later never needs: entries and checkpoints before
    /// `checkpoint`.
    pub(crate) async fn cut(store: &Store, folder: &str, checkpoint: u64) -> Result<u64> {
        let table = Table::empty(store, folder);
        let listing = table.listing().await?;
        let mut deleted = 0;
        for n in listing.checkpoints.into_keys().filter(|n| *n < checkpoint) {
            store.delete(&table.checkpoint_name(n)).await?;
            deleted += 1;
        }
        for n in listing.versions.into_iter().filter(|n| *n < checkpoint) {
            table.chain.delete(n).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Commit the next version. On success the table is at it.
    ///
    /// # Errors
    /// `Fenced` if a newer incarnation committed meanwhile; `Overtaken` if an older one did: load
    /// and compare again, as a new incarnation.
    pub async fn commit(&mut self, commit: &Commit) -> Result<()> {
        let version = self.version.map_or(0, |v| v + 1);
        let bytes = commit.bytes(self.standing.get("metaData"))?;
        if self.chain.create(version, &bytes).await? == Created::Lost {
            let name = self.chain.name(version);
            let mut there = Table::empty(&self.store, "");
            there.replay(&name, &self.store.read(&name).await?)?;
            // An older one's is a right image of its own time: what is new has to be compared
            // with it.
            return Err(match there.epoch < commit.epoch {
                true => LakeError::Overtaken(name),
                false => LakeError::Fenced(format!("'{name}' is another leader's: start again")),
            });
        }
        // Cleaning frees names: a put that landed on one of those landed nowhere.
        if self.chain.fenced_after(version).await? {
            let message = format!("'{}' is followed: start again", self.chain.name(version));
            return Err(LakeError::Fenced(message));
        }
        self.replay(&self.chain.name(version), &bytes)?;
        self.version = Some(version);
        Ok(())
    }
}

/// The actions of a log's entry.
pub(crate) fn actions(name: &str, bytes: &[u8]) -> Result<Vec<Value>> {
    let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    let parsed = lines.map(|l| serde_json::from_slice(l).map_err(|e| LakeError::corrupt(name, e)));
    parsed.collect()
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
    /// Rows that came since the last version.
    pub rows_inserted: u64,
    /// Rows that went since the last version.
    pub rows_deleted: u64,
    /// Rows of the files that come: against `rows_inserted` and `rows_deleted`, what a change
    /// costs.
    pub rows_written: u64,
    /// Files that come.
    pub added: Vec<Add>,
    /// Names of files that go.
    pub removed: Vec<String>,
}

impl Commit {
    /// Numbers as text, as Delta's other writers have them.
    fn metrics(&self) -> Value {
        let bytes: u64 = self.added.iter().map(|add| add.size).sum();
        json!({
            "numAddedFiles": self.added.len().to_string(),
            "numRemovedFiles": self.removed.len().to_string(),
            "numOutputRows": self.rows_written.to_string(),
            "numOutputBytes": bytes.to_string(),
            "numInsertedRows": self.rows_inserted.to_string(),
            "numDeletedRows": self.rows_deleted.to_string(),
        })
    }

    /// `described` is the table's `metaData` so far: it is said again if the columns changed.
    fn bytes(&self, described: Option<&Value>) -> Result<Bytes> {
        let mut actions = vec![json!({"commitInfo": {
            "timestamp": self.clock_ms,
            "operation": "WRITE",
            "operationMetrics": self.metrics(),
            "engineInfo": concat!("tidewatch/", env!("CARGO_PKG_VERSION")),
            "tidewatch": {"epoch": self.epoch, "nonce": self.nonce, "t": self.t},
        }})];
        let (schema, features) = delta_schema(&self.schema)?;
        let schema = schema.to_string();
        if described.is_none_or(|d| d["schemaString"].as_str() != Some(&schema)) {
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
                "schemaString": schema,
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
