//! What a user may tune: one struct, TOML, environment overrides, unknown keys refused.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use arrangement::Budget;
use serde::{Deserialize, Serialize};

/// All settings, with their defaults.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How sources are followed.
    pub sources: Sources,
    /// How views are written.
    pub views: Views,
    /// How the log is kept.
    pub log: Log,
    /// What state may take.
    pub memory: Memory,
    /// Options of S3 stores (`endpoint`, `region`, `access_key_id`, `secret_access_key`,
    /// `allow_http`, …); `AWS_*` variables fill what is not set.
    pub s3: BTreeMap<String, String>,
}

/// How sources are followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sources {
    /// Milliseconds between two listings.
    pub poll_ms: u64,
    /// A local file is read once it stood still for this many milliseconds.
    pub settle_ms: u64,
}

impl Default for Sources {
    fn default() -> Self {
        Sources { poll_ms: 500, settle_ms: 500 }
    }
}

/// How views are written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Views {
    /// Rows of a view's file above which it is split.
    pub file_rows_max: u64,
    /// Days of event time per bucket of a view.
    pub bucket_days: u32,
    /// Delta versions between two checkpoints of a view's table.
    pub checkpoint_versions: u64,
    /// Minutes for which old versions of a view stay readable for programs that read its Delta
    /// table directly. Readers through Tidewatch are safe without.
    pub keep_minutes: u64,
}

impl Default for Views {
    fn default() -> Self {
        Views { file_rows_max: 131_072, bucket_days: 7, checkpoint_versions: 20, keep_minutes: 60 }
    }
}

/// How the log is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Milliseconds between two signs of life of the leader.
    pub heartbeat_ms: u64,
    /// Log entries between two checkpoints.
    pub checkpoint_entries: u64,
}

impl Default for Log {
    fn default() -> Self {
        Log { heartbeat_ms: 2_000, checkpoint_entries: 100 }
    }
}

/// What state may take.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// MiB of memory for the state of a process; what is above goes to local disk. 0 is as much as
    /// there is. What is read and written besides comes on top: some hundred MiB.
    pub state_mib: u64,
    /// The folder on local disk for that; empty is the system's folder for temporary files.
    pub spill_folder: String,
}

impl Memory {
    /// The memory that these settings grant.
    pub fn budget(&self) -> Result<Budget> {
        if self.state_mib == 0 {
            return Ok(Budget::unlimited());
        }
        let folder = match self.spill_folder.as_str() {
            "" => std::env::temp_dir(),
            folder => folder.into(),
        };
        let bytes = usize::try_from(self.state_mib).unwrap_or(usize::MAX).saturating_mul(1 << 20);
        Budget::new(&folder, bytes).with_context(|| {
            let folder = folder.display();
            format!("[memory] spill_folder '{folder}' takes no files: name a folder that does")
        })
    }
}

impl Settings {
    /// The settings of `file`, or the defaults; S3 options completed from `AWS_*`.
    pub fn load(file: Option<&Path>) -> Result<Settings> {
        let mut settings = match file {
            None => Settings::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("settings '{}' cannot be read", path.display()))?;
                toml::from_str(&text)
                    .with_context(|| format!("settings '{}' make no sense", path.display()))?
            }
        };
        for (name, value) in std::env::vars() {
            if let Some(key) = name.strip_prefix("AWS_") {
                settings.s3.entry(key.to_lowercase()).or_insert(value);
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<Settings>("[sources]\npol_ms = 3").expect_err("a typo");
        assert!(error.to_string().contains("pol_ms"), "{error}");
    }
}
