//! What a user may tune: one struct, TOML, environment overrides, unknown keys refused.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
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
