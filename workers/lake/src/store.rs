//! The objects of a lake, by name relative to the lake's root.
//!
//! Local folders survive the death of the process, not the loss of power: object_store renames
//! finished files into place but does not fsync them.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::error::{LakeError, Result};
use crate::source::location::open_bucket;

/// Where a lake lives.
#[derive(Clone, Debug)]
pub struct Store {
    /// The client.
    pub inner: Arc<dyn ObjectStore>,
    /// The lake's folder within it.
    pub root: Path,
    /// The lake's folder on this machine, if it is a local one.
    pub local: Option<PathBuf>,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Name relative to the lake's root.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// When the store says it was written, microseconds since 1970 UTC.
    pub modified_us: i64,
}

impl Store {
    /// Open `location`: a URL (`s3://bucket/folder`, `file:///folder`) or a folder, relative to
    /// `base_dir`, which is created if need be. `s3_options` are object_store's, without `aws_`.
    ///
    /// # Errors
    /// `Invalid` for a location no adapter knows, `File` for a folder that cannot be made.
    pub fn open(
        location: &str,
        s3_options: &BTreeMap<String, String>,
        base_dir: &FilePath,
    ) -> Result<Store> {
        let invalid =
            |e: &dyn std::fmt::Display| LakeError::Invalid(format!("lake '{location}': {e}"));
        if !location.contains("://") {
            return Store::open_local(&base_dir.join(location));
        }
        let url = url::Url::parse(location).map_err(|e| invalid(&e))?;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| invalid(&"no local folder"))?;
            return Store::open_local(&folder);
        }
        if !matches!(url.scheme(), "s3" | "s3a") {
            return Err(invalid(&"use a folder, file:// or s3://"));
        }
        let bucket = url.host_str().ok_or_else(|| invalid(&"write s3://bucket/folder"))?;
        let inner = open_bucket(bucket, s3_options).map_err(LakeError::Location)?;
        let root = Path::from_url_path(url.path()).map_err(|e| invalid(&e))?;
        Ok(Store { inner, root, local: None })
    }

    fn open_local(folder: &FilePath) -> Result<Store> {
        let failed = |source| LakeError::File { path: folder.display().to_string(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let inner = LocalFileSystem::new_with_prefix(&folder).map_err(|source| {
            LakeError::Store { action: "read", name: folder.display().to_string(), source }
        })?;
        Ok(Store { inner: Arc::new(inner), root: Path::default(), local: Some(folder) })
    }

    /// The path of `name` within [`Store::inner`].
    pub fn path(&self, name: &str) -> Path {
        let parts = name.split('/').filter(|p| !p.is_empty());
        self.root.parts().map(|p| p.as_ref().to_string()).chain(parts.map(str::to_string)).collect()
    }

    /// The whole object, or `None` if there is none.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        let failed = |source| LakeError::Store { action: "read", name: name.to_string(), source };
        match self.inner.get(&self.path(name)).await {
            Ok(found) => match found.bytes().await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(source) => Err(failed(source)),
            },
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// The whole object; one that is not there is an error.
    pub async fn read(&self, name: &str) -> Result<Bytes> {
        let missing = || LakeError::corrupt(name, "it is named elsewhere, but is not there");
        self.get(name).await?.ok_or_else(missing)
    }

    /// Write an object whose name nobody else uses.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let put = self.inner.put(&self.path(name), bytes.into()).await;
        let failed =
            |source| LakeError::Store { action: "written", name: name.to_string(), source };
        put.map(|_| ()).map_err(failed)
    }

    pub(crate) async fn put_new(&self, name: &str, bytes: Bytes) -> object_store::Result<()> {
        let options = PutOptions::from(PutMode::Create);
        self.inner.put_opts(&self.path(name), bytes.into(), options).await.map(|_| ())
    }

    /// Delete an object; one that is not there is fine.
    pub async fn delete(&self, name: &str) -> Result<()> {
        match self.inner.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => {
                Err(LakeError::Store { action: "deleted", name: name.to_string(), source })
            }
        }
    }

    /// The objects in `folder` and below, in order of names; only those after `after` (a name in
    /// the folder) if given.
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>> {
        let prefix = self.path(folder);
        let stream = match after {
            None => self.inner.list(Some(&prefix)),
            Some(after) => {
                self.inner.list_with_offset(Some(&prefix), &self.path(&format!("{folder}/{after}")))
            }
        };
        let listed = stream.map(|meta| {
            let meta = meta?;
            let name = meta.location.as_ref();
            let name = name.strip_prefix(self.root.as_ref()).unwrap_or(name);
            let modified_us = meta.last_modified.timestamp_micros();
            let name = name.trim_start_matches('/').to_string();
            Ok(Listed { name, size: meta.size, modified_us })
        });
        let mut listed: Vec<Listed> = listed.try_collect().await.map_err(|source| {
            LakeError::Store { action: "listed", name: folder.to_string(), source }
        })?;
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }
}
