//! Chains of numbered objects: the only mutable thing in a lake.
//!
//! No object is ever overwritten. An object is created by *rule P*: whatever the store answers, the
//! object that is there afterwards says who wrote it. Stores repeat requests by themselves, so an
//! own write can come back as "already exists"; and "already exists" can mean that nothing is
//! there at all. See `docs` of the protocol model for the runs that break without each step.

use std::time::Duration;

use bytes::Bytes;

use crate::error::{LakeError, Result};
use crate::store::Store;

/// Tries of a put whose outcome stays unknown, before the process has to give up.
const TRIES_MAX: u32 = 12;

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What became of [`Chain::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object holds our bytes. Before acting on it, look behind it: [`Chain::fenced_after`].
    Landed,
    /// Somebody else's bytes are there, for certain.
    Lost,
}

/// The objects `{folder}/{number:020}.json`.
#[derive(Clone, Debug)]
pub struct Chain {
    store: Store,
    folder: String,
}

impl Chain {
    /// The chain in `folder`.
    pub fn new(store: &Store, folder: impl Into<String>) -> Chain {
        Chain { store: store.clone(), folder: folder.into() }
    }

    /// Where its objects are.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Name of object `number`.
    pub fn name(&self, number: u64) -> String {
        format!("{}/{number:020}.json", self.folder)
    }

    /// Create object `number`. `body` must contain a nonce: equal bytes are taken for our own.
    ///
    /// # Errors
    /// The outcome stayed unknown. The put may still land: nothing else may be written under this
    /// name, or after it, by this process.
    pub async fn create(&self, number: u64, body: &Bytes) -> Result<Created> {
        let name = self.name(number);
        let mut tries = 0;
        loop {
            let Err(source) = self.store.put_new(&name, body.clone()).await else {
                return Ok(Created::Landed);
            };
            match self.store.get(&name).await {
                Ok(Some(found)) if found == *body => return Ok(Created::Landed),
                Ok(Some(_)) => return Ok(Created::Lost),
                Ok(None) | Err(_) if tries < TRIES_MAX => {}
                Ok(None) => return Err(LakeError::Store { action: "written", name, source }),
                Err(error) => return Err(error),
            }
            tries += 1;
            tokio::time::sleep(PAUSE_MAX.min(Duration::from_millis(5) * 2u32.pow(tries))).await;
        }
    }

    /// Whether the chain goes on after `number`. If it does, an object that just landed there
    /// landed on a freed name, and its writer is fenced.
    pub async fn fenced_after(&self, number: u64) -> Result<bool> {
        Ok(!self.numbers_after(Some(number)).await?.is_empty())
    }

    /// The numbers in use, rising; only those above `after` if given.
    pub async fn numbers_after(&self, after: Option<u64>) -> Result<Vec<u64>> {
        let after = after.map(|n| format!("{n:020}.json"));
        let listed = self.store.list(&self.folder, after.as_deref()).await?;
        Ok(listed.iter().filter_map(|o| number_of(&o.name)).collect())
    }

    /// Object `number`, or `None`.
    pub async fn get(&self, number: u64) -> Result<Option<Bytes>> {
        self.store.get(&self.name(number)).await
    }

    /// Delete object `number`.
    pub async fn delete(&self, number: u64) -> Result<()> {
        self.store.delete(&self.name(number)).await
    }
}

/// The number in the name of a chain's object; `None` for foreign names.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let stem = name.rsplit('/').next()?.strip_suffix(".json")?;
    (stem.len() == 20).then(|| stem.parse().ok())?
}
