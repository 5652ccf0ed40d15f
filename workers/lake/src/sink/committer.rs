//! The one that commits for all workers.

use std::collections::BTreeMap;

use engine::ports::{Committer, PortError, PortErrorKind, Staged, ViewSpec};
use futures::{StreamExt, stream};
use schemas::Time;
use tokio::runtime::Handle;

use super::layout::Owned;
use super::{DeltaSink, Outside, StagedFiles};
use crate::delta::{Commit, Table};
use crate::error::{LakeError, Result};
use crate::published::{Published, PublishedView, latest, publish};
use crate::store::Store;

/// Tables that are committed at once.
const COMMITS_AT_ONCE: usize = 16;

pub(crate) struct DeltaCommitter {
    store: Store,
    runtime: Handle,
    outside: Outside,
    epoch: Time,
    tables: BTreeMap<String, View>,
    published: Published,
    first: bool,
}

struct View {
    spec: ViewSpec,
    folder: String,
    table: Table,
}

impl DeltaCommitter {
    pub(crate) fn new(sink: &DeltaSink, views: &[ViewSpec]) -> Result<DeltaCommitter, PortError> {
        let mut tables = BTreeMap::new();
        for spec in views {
            let folder = sink.folder(&spec.name)?;
            let table = sink.runtime.block_on(Table::load(&sink.store, &folder, None))?;
            if table.epoch > sink.incarnation.epoch {
                let message = format!("view '{}' is another leader's: start again", spec.name);
                return Err(PortError::new(PortErrorKind::Fenced, message));
            }
            tables.insert(spec.name.clone(), View { spec: spec.clone(), folder, table });
        }
        let published = sink.runtime.block_on(latest(&sink.store))?.unwrap_or_default();
        Ok(DeltaCommitter {
            store: sink.store.clone(),
            runtime: sink.runtime.clone(),
            outside: sink.outside.clone(),
            epoch: sink.incarnation.epoch,
            tables,
            published,
            first: true,
        })
    }

    async fn commit_all(&mut self, t: Time, mut due: BTreeMap<String, Due>) -> Result<()> {
        let mut commits = vec![];
        for (name, view) in &mut self.tables {
            let Due { files, inserted, deleted } = due.remove(name).unwrap_or_default();
            // The first commit is written even if it changes nothing: it fences the table.
            if !self.first && files.added.is_empty() && files.removed.is_empty() {
                continue;
            }
            let written = files.added.iter().map(|add| Ok(Owned::of(add)?.rows));
            let commit = Commit {
                id: view.folder.replace('/', "-"),
                schema: view.spec.schema.clone(),
                t,
                epoch: self.epoch,
                nonce: (self.outside.nonce)(),
                clock_ms: (self.outside.clock_us)() / 1_000,
                rows_inserted: inserted,
                rows_deleted: deleted,
                rows_written: written.sum::<Result<u64>>()?,
                added: files.added,
                removed: files.removed,
            };
            commits.push(async move { view.table.commit(&commit).await });
        }
        if commits.is_empty() {
            return Ok(());
        }
        // Tables are independent of each other. Each commit is brought to its end, also beside one
        // that failed: a put must not be left in doubt.
        let ended: Vec<Result<()>> =
            stream::iter(commits).buffer_unordered(COMMITS_AT_ONCE).collect().await;
        let mut failed: Vec<LakeError> = ended.into_iter().filter_map(Result::err).collect();
        // Whoever is fenced in one table has to stop, whatever happened in the others.
        failed.sort_by_key(|e| e.kind() != PortErrorKind::Fenced);
        if let Some(error) = failed.into_iter().next() {
            return Err(error);
        }
        self.first = false;
        let views = self.tables.iter().map(|(name, view)| {
            let version = view.table.version.unwrap_or(0);
            (name.clone(), PublishedView { folder: view.folder.clone(), version })
        });
        let next = Published {
            t,
            epoch: self.epoch,
            nonce: (self.outside.nonce)(),
            views: views.collect(),
            ..Published::default()
        };
        self.published = publish(&self.store, &self.published, next).await?;
        Ok(())
    }
}

/// What all workers staged of one view.
#[derive(Default)]
struct Due {
    files: StagedFiles,
    inserted: u64,
    deleted: u64,
}

impl Committer for DeltaCommitter {
    fn commit(&mut self, time: Time, staged: Vec<Staged>) -> Result<(), PortError> {
        let mut due: BTreeMap<String, Due> = BTreeMap::new();
        for one in staged {
            let new: StagedFiles = serde_json::from_value(one.files).map_err(|e| {
                let message = format!("view '{}': staged files make no sense", one.view);
                PortError::new(PortErrorKind::Corrupt, message).with_source(e)
            })?;
            let all = due.entry(one.view).or_default();
            all.inserted += one.rows_inserted;
            all.deleted += one.rows_deleted;
            let all = &mut all.files;
            for path in new.removed {
                // A file that came and went between two commits was never there.
                match all.added.iter().position(|a| a.path == path) {
                    Some(at) => drop(all.added.swap_remove(at)),
                    None => all.removed.push(path),
                }
            }
            all.added.extend(new.added);
        }
        let runtime = self.runtime.clone();
        runtime.block_on(self.commit_all(time, due))?;
        Ok(())
    }
}
