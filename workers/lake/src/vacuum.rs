//! What nobody can read any more is deleted: old versions, orphans, dropped tables, cut logs.
//!
//! Never by age alone, and never a newer incarnation's file, so a vacuum that sleeps for a week and
//! goes on does no harm. What may go is derived from the floor, a promise that readers check.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Time;

use crate::delta::Table;
use crate::error::{LakeError, Result};
use crate::lease::{cut_floors, floor, lowest, raise_floor};
use crate::published::{self, Published};
use crate::store::{Listed, Store};

/// Folder of all views' tables.
const VIEWS: &str = "views";

/// What a user may tune.
#[derive(Clone, Copy, Debug)]
pub struct VacuumSettings {
    /// Microseconds for which an old version stays, for programs that read the tables directly and
    /// take no lease.
    pub keep_us: i64,
    /// Versions between two checkpoints of a table's log.
    pub checkpoint_versions: u64,
}

/// Who vacuums.
#[derive(Clone, Debug)]
pub struct Sweeper {
    /// Its incarnation.
    pub epoch: Time,
    /// No older incarnation can be alive: this process holds the lock of a local lake. Otherwise
    /// the orphans of older ones are left until our own commit has fenced the table.
    pub alone: bool,
    /// Folders of the tables that the catalog has now.
    pub tables: BTreeSet<String>,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Data files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries and checkpoints of the tables' logs.
    pub log_entries: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

/// Checkpoint the tables' logs, then delete what nobody can read any more. `nonce` is unique.
///
/// # Errors
/// Outages. Whatever was deleted before was unreachable; the next call goes on.
pub async fn vacuum(
    store: &Store,
    sweeper: &Sweeper,
    settings: VacuumSettings,
    now_us: i64,
    nonce: &str,
) -> Result<Swept> {
    let mut swept = Swept::default();
    for folder in &sweeper.tables {
        swept.checkpoints += u64::from(checkpoint(store, folder, settings).await?);
    }
    let Some(published) = reachable(store, settings, now_us, nonce).await? else {
        return Ok(swept);
    };
    let named: BTreeSet<&String> =
        published.iter().flat_map(|p| p.views.values().map(|v| &v.folder)).collect();
    let floor = &published[0];
    // Listed before the logs are read: what a log does not name then, it will not name later.
    for (folder, objects) in tables(store).await? {
        if !named.contains(&folder) && !sweeper.tables.contains(&folder) {
            for object in &objects {
                delete(store, object, &mut swept).await?;
            }
        } else if let Some(at) = floor.views.values().find(|v| v.folder == folder) {
            sweep(store, sweeper, &folder, at.version, &objects, &mut swept).await?;
            let log = Table::log(store, &folder).await?;
            let old = |(n, written): &(&u64, &i64)| {
                **n <= at.version && **written <= now_us - settings.keep_us
            };
            if let Some((n, _)) = log.checkpoints.iter().rfind(old) {
                swept.log_entries += Table::cut(store, &folder, *n).await?;
            }
        }
    }
    published::cut(store, floor.n).await?;
    cut_floors(store).await?;
    Ok(swept)
}

async fn checkpoint(store: &Store, folder: &str, settings: VacuumSettings) -> Result<bool> {
    let log = Table::log(store, folder).await?;
    let last = log.checkpoints.keys().next_back().copied().unwrap_or(0);
    let head = log.versions.last().copied().unwrap_or(0);
    if head < last + settings.checkpoint_versions.max(1) {
        return Ok(false);
    }
    Table::load(store, folder, None).await?.checkpoint().await?;
    Ok(true)
}

/// Raise the floor as far as readers and `keep_us` allow. The published objects from the floor on;
/// `None` if nothing may be deleted now.
async fn reachable(
    store: &Store,
    settings: VacuumSettings,
    now_us: i64,
    nonce: &str,
) -> Result<Option<Vec<Published>>> {
    let held = lowest(store, now_us).await?.unwrap_or(u64::MAX);
    let old = |(n, written): &(u64, i64)| *n <= held && *written <= now_us - settings.keep_us;
    let objects = published::listing(store).await?;
    let Some((n, _)) = objects.into_iter().rfind(old) else { return Ok(None) };
    let n = n.max(floor(store).await?);
    raise_floor(store, n, nonce).await?;
    if lowest(store, now_us).await?.is_some_and(|held| held < n) {
        return Ok(None);
    }
    let published = published::from(store, n).await?;
    Ok(published.first().is_some_and(|p| p.n == n).then_some(published))
}

/// The objects of every table, by its folder `views/{name}/{t0}`.
async fn tables(store: &Store) -> Result<BTreeMap<String, Vec<Listed>>> {
    let mut tables: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    for object in store.list(VIEWS, None).await? {
        let parts: Vec<&str> = object.name.splitn(4, '/').collect();
        if let [views, name, t0, _] = parts[..] {
            tables.entry(format!("{views}/{name}/{t0}")).or_default().push(object);
        }
    }
    Ok(tables)
}

/// Delete the data files of one table that no version from `version` on names.
async fn sweep(
    store: &Store,
    sweeper: &Sweeper,
    folder: &str,
    version: u64,
    objects: &[Listed],
    swept: &mut Swept,
) -> Result<()> {
    let fenced = Table::load(store, folder, None).await?.epoch == sweeper.epoch;
    let named = Table::mentioned(store, folder, version).await?;
    for object in objects {
        let Some(file) = object.name.strip_prefix(folder).and_then(|f| f.strip_prefix('/')) else {
            continue;
        };
        // File names begin with the epoch that wrote them; anything else is not ours to delete.
        let Some(epoch) = file.get(..20).and_then(|e| e.parse::<Time>().ok()) else { continue };
        let orphan = epoch < sweeper.epoch && (fenced || sweeper.alone);
        if !named.reachable.contains(file) && (orphan || named.removed.contains(file)) {
            delete(store, object, swept).await?;
        }
    }
    if fenced || sweeper.alone {
        sweep_unfinished(store, sweeper.epoch, folder, swept)?;
    }
    Ok(())
}

/// Delete what processes that were killed left of files they were writing. On a local disk those
/// are `{file}#{n}`, which object_store neither lists nor deletes.
fn sweep_unfinished(store: &Store, epoch: Time, folder: &str, swept: &mut Swept) -> Result<()> {
    let Some(lake) = &store.local else { return Ok(()) };
    let folder = lake.join(folder);
    let failed = |source| LakeError::File { path: folder.display().to_string(), source };
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let older = name.get(..20).and_then(|e| e.parse::<Time>().ok()).is_some_and(|e| e < epoch);
        if older && name.contains(".parquet#") {
            // Its writer may have finished or withdrawn it meanwhile.
            let removed = std::fs::remove_file(entry.path());
            swept.files += u64::from(removed.is_ok());
        }
    }
    Ok(())
}

async fn delete(store: &Store, object: &Listed, swept: &mut Swept) -> Result<()> {
    store.delete(&object.name).await?;
    if object.name.ends_with(".parquet") && !object.name.contains("/_delta_log/") {
        swept.files += 1;
        swept.bytes += object.size;
    } else {
        swept.log_entries += 1;
    }
    Ok(())
}
