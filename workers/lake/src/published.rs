//! What readers may see: a chain of (time, version of every view).

use std::collections::BTreeMap;

use bytes::Bytes;
use schemas::Time;
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, Created};
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
