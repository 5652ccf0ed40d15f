//! What readers may see: a chain of (time, version of every view).

use std::collections::BTreeMap;

use bytes::Bytes;
use schemas::Time;
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, Created, number_of};
use crate::error::{LakeError, Result};
use crate::store::Store;

/// Folder of the chain.
const PUBLISHED: &str = "_tidewatch/published";

/// All views at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Number in the chain, from 1.
    pub n: u64,
    /// The time.
    pub t: Time,
    /// The incarnation that published it.
    pub epoch: Time,
    /// Unique per object.
    pub nonce: String,
    /// Nonce of the object before.
    pub prev: String,
    /// View → table.
    pub views: BTreeMap<String, PublishedView>,
}

/// A view's table at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedView {
    /// The table's folder in the lake.
    pub folder: String,
    /// The table's version.
    pub version: u64,
}

/// The last published object, if any.
///
/// # Errors
/// Outages; `Corrupt` if it makes no sense.
pub async fn latest(store: &Store) -> Result<Option<Published>> {
    let chain = Chain::new(store, PUBLISHED);
    let Some(n) = chain.numbers_after(None).await?.last().copied() else { return Ok(None) };
    let missing = || LakeError::Expired(n);
    let bytes = chain.get(n).await?.ok_or_else(missing)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| LakeError::corrupt(chain.name(n), e))
}

/// The objects from `n` on, rising.
pub(crate) async fn from(store: &Store, n: u64) -> Result<Vec<Published>> {
    let chain = Chain::new(store, PUBLISHED);
    let mut published = vec![];
    for n in chain.numbers_after(None).await?.into_iter().filter(|m| *m >= n) {
        let bytes = chain.get(n).await?.ok_or(LakeError::Expired(n))?;
        let object = serde_json::from_slice(&bytes);
        published.push(object.map_err(|e| LakeError::corrupt(chain.name(n), e))?);
    }
    Ok(published)
}

/// The numbers in use, rising, and when each was written (microseconds since 1970 UTC).
pub(crate) async fn listing(store: &Store) -> Result<Vec<(u64, i64)>> {
    let objects = store.list(PUBLISHED, None).await?;
    Ok(objects.iter().filter_map(|o| Some((number_of(&o.name)?, o.modified_us))).collect())
}

/// Delete the objects before `n`.
pub(crate) async fn cut(store: &Store, n: u64) -> Result<()> {
    let chain = Chain::new(store, PUBLISHED);
    for old in chain.numbers_after(None).await?.into_iter().filter(|m| *m < n) {
        chain.delete(old).await?;
    }
    Ok(())
}

/// Publish `next` behind `last`.
///
/// # Errors
/// `Fenced` if somebody else published meanwhile, or a newer incarnation did before.
pub(crate) async fn publish(
    store: &Store,
    last: &Published,
    mut next: Published,
) -> Result<Published> {
    let chain = Chain::new(store, PUBLISHED);
    let fenced =
        |n| LakeError::Fenced(format!("'{}' is another leader's: start again", chain.name(n)));
    if last.epoch > next.epoch || last.t > next.t {
        return Err(fenced(last.n));
    }
    next.n = last.n + 1;
    next.prev.clone_from(&last.nonce);
    let body = serde_json::to_vec(&next).map_err(|e| LakeError::corrupt(chain.name(next.n), e))?;
    let created = chain.create(next.n, &Bytes::from(body)).await?;
    if created == Created::Lost || chain.fenced_after(next.n).await? {
        return Err(fenced(next.n));
    }
    Ok(next)
}
