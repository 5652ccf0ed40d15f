//! Which files a source has, and which are whole.

use std::collections::HashMap;

use bytes::Bytes;
use engine::ports::{PortError, PortErrorKind, SourceFile};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::compression::Compression;
use super::location::store_error;
use super::{Folder, Format, SourceConfig, delta};

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Path within the source's location.
    pub path: String,
    /// The store's version of the content.
    pub etag: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was written, microseconds since 1970 UTC, by the store's clock.
    pub modified_us: i64,
}

/// The files of a source, in order of paths: those with its format's ending, but none under a
/// name that begins with `_` or `.`. Of a table: those that its log says are live.
///
/// # Errors
/// `Invalid` for a local folder that is not there, or a table that cannot be read as declared;
/// `Denied`, `Outage`.
pub async fn list(config: &SourceConfig) -> Result<Vec<Listed>, PortError> {
    let location = &config.location;
    let doing = || format!("source '{}': listing '{}'", config.name, location.shown);
    if let Some(folder) = &location.local
        && !folder.is_dir()
    {
        let message = format!(
            "source '{}': folder '{}' is not there; create it or correct the location",
            config.name,
            folder.display()
        );
        return Err(PortError::new(PortErrorKind::Invalid, message));
    }
    if config.format.is_table() {
        return delta::list(config).await;
    }
    let found = location.store.list(Some(&location.prefix)).try_collect::<Vec<ObjectMeta>>().await;
    let found = found.map_err(|e| store_error(doing(), e))?;
    let listed = found.iter().filter_map(|m| listed(m, &location.prefix));
    let mut listed: Vec<Listed> =
        listed.filter(|l| is_ours(config.format, &l.path) && !is_hidden(&l.path)).collect();
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listed)
}

/// An object as a file of the folder `prefix`.
pub(crate) fn listed(meta: &ObjectMeta, prefix: &Path) -> Option<Listed> {
    let parts: Vec<String> =
        meta.location.prefix_match(prefix)?.map(|p| p.as_ref().to_string()).collect();
    Some(Listed {
        path: parts.join("/"),
        etag: etag(meta),
        size: meta.size,
        modified_us: meta.last_modified.timestamp_micros(),
    })
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|p| p.starts_with('_') || p.starts_with('.'))
}

fn is_ours(format: Format, path: &str) -> bool {
    let path = path.to_lowercase();
    let plain = if format.0.is_text() { Compression::of(&path).1 } else { path.as_str() };
    format.0.endings().iter().any(|e| plain.ends_with(e))
}

/// The version of an object's content.
pub(crate) fn etag(meta: &ObjectMeta) -> String {
    let stamp = || format!("{}-{}", meta.last_modified.timestamp_micros(), meta.size);
    meta.e_tag.clone().unwrap_or_else(stamp)
}

/// What to log so that `live` becomes `listed`: files added and files gone. An overwritten file is
/// both. Times of admission are left for the log to fill in.
pub fn changes(
    source: &str,
    listed: &[Listed],
    live: &[&SourceFile],
) -> (Vec<SourceFile>, Vec<SourceFile>) {
    let there: HashMap<&str, &Listed> = listed.iter().map(|l| (l.path.as_str(), l)).collect();
    let known: HashMap<&str, &&SourceFile> = live.iter().map(|f| (f.path.as_str(), f)).collect();
    let same = |l: &Listed, f: &SourceFile| l.etag == f.etag && l.size == f.size;
    let new = |l: &&Listed| known.get(l.path.as_str()).is_none_or(|f| !same(l, f));
    let added = listed.iter().filter(new).map(|l| SourceFile {
        source: source.to_string(),
        path: l.path.clone(),
        etag: l.etag.clone(),
        size: l.size,
        admitted: 0,
        admitted_clock_us: 0,
    });
    let lost = |f: &&&SourceFile| there.get(f.path.as_str()).is_none_or(|l| !same(l, f));
    (added.collect(), live.iter().filter(lost).map(|f| (*f).clone()).collect())
}

/// Whether a file may be logged. Objects of a store appear whole; a local file has to stand still
/// for `settle_ms` and to have its format's end, unless it stands still ten times as long: then it
/// is what it is, and its fault says what is wrong with it.
///
/// `seen_us` is when it was first seen as it is: its own stamp may be of a clock that is ahead, and
/// then says nothing.
///
/// # Errors
/// `Outage`, `Denied`. A file that vanished meanwhile is not ready.
pub async fn ready(
    config: &SourceConfig,
    file: &Listed,
    seen_us: i64,
    now_us: i64,
    settle_ms: u64,
) -> Result<bool, PortError> {
    // A table's log names whole files only.
    if config.location.local.is_none() || config.format.is_table() {
        return Ok(true);
    }
    let settle_us = i64::try_from(settle_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let still_us = now_us.saturating_sub(file.modified_us.min(seen_us));
    if still_us < settle_us {
        return Ok(false);
    }
    if still_us >= settle_us.saturating_mul(10) {
        return Ok(true);
    }
    let folder = (config.location.store.clone(), config.location.prefix.clone());
    match looks_whole(&folder, file, config.format).await {
        Err(e) if e.kind() == PortErrorKind::Gone => Ok(false),
        other => other,
    }
}

/// Bytes of a file's beginning and end that a format is shown.
pub(crate) const EDGE_BYTES: u64 = 8;

async fn looks_whole(folder: &Folder, file: &Listed, format: Format) -> Result<bool, PortError> {
    let path = object_path(&folder.1, &file.path);
    let doing = || format!("reading the end of '{}'", file.path);
    let compression = Compression::of(&file.path).0.filter(|_| format.0.is_text());
    if let Some(compression) = compression {
        // Only decoding it shows where an archive ends.
        let got = folder.0.get(&path).await.map_err(|e| store_error(doing(), e))?;
        let bytes = got.bytes().await.map_err(|e| store_error(doing(), e))?;
        return Ok(compression.check(bytes).is_ok());
    }
    let edge = EDGE_BYTES.min(file.size);
    let ranges = [0..edge, file.size - edge..file.size];
    let edges = match edge {
        0 => vec![Bytes::new(), Bytes::new()],
        _ => match folder.0.get_ranges(&path, &ranges).await {
            Ok(edges) => edges,
            // A shorter one may have taken its place since it was listed.
            Err(error) => {
                let now = folder.0.head(&path).await.map_err(|e| store_error(doing(), e))?;
                if etag(&now) != file.etag {
                    return Ok(false);
                }
                return Err(store_error(doing(), error));
            }
        },
    };
    Ok(format.0.is_whole(&edges[0], &edges[1]))
}

/// The object of a source's file. Listed names are encoded already.
pub(crate) fn object_path(prefix: &Path, path: &str) -> Path {
    let full = format!("{prefix}/{path}");
    Path::parse(&full).unwrap_or_else(|_| Path::from(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(path: &str, etag: &str) -> Listed {
        Listed { path: path.into(), etag: etag.into(), size: 1, modified_us: 0 }
    }

    fn live(path: &str, etag: &str) -> SourceFile {
        SourceFile {
            source: "s".into(),
            path: path.into(),
            etag: etag.into(),
            size: 1,
            admitted: 3,
            admitted_clock_us: 0,
        }
    }

    #[test]
    fn an_overwritten_file_is_gone_and_added() {
        let (old, kept) = (live("a", "1"), live("b", "1"));
        let now = [listed("a", "2"), listed("b", "1"), listed("c", "1")];
        let (added, gone) = changes("s", &now, &[&old, &kept]);
        let paths: Vec<_> = added.iter().map(|f| (f.path.as_str(), f.etag.as_str())).collect();
        assert_eq!(paths, [("a", "2"), ("c", "1")]);
        assert_eq!(gone, [old]);
    }
}
