//! What readers hold, and how far vacuum may go.
//!
//! A reader puts a lease on the published object it reads, then reads the floor *again*: below it,
//! the files may be going. Vacuum writes the floor, then lists the leases *again*. Whichever comes
//! second sees the other.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::error::{LakeError, Result};
use crate::published::{Published, latest};
use crate::store::Store;

/// Chain of promises: nothing before published object `n` will be read from now on.
const FLOOR: &str = "_tidewatch/floor";
/// Folder of the leases.
const LEASES: &str = "_tidewatch/leases";
/// How long a lease runs, microseconds.
const LEASE_US: i64 = 3_600_000_000;
/// How long an expired lease still counts, microseconds: clocks differ.
const GRACE_US: i64 = 60_000_000;
/// Snapshots that expire while a reader takes hold of them, before it gives up.
const HOLDS_MAX: usize = 10;

/// A reader's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    /// The published object that is read.
    n: u64,
    /// Microseconds since 1970 UTC.
    expires_us: i64,
}

/// A snapshot that vacuum leaves alone until it is released.
#[derive(Debug)]
pub struct Held {
    /// What is held.
    pub published: Published,
    store: Store,
    /// `None`: the reader may not write to this lake, so only the age of old versions protects it.
    name: Option<String>,
    lease: Lease,
}

/// Hold the last published snapshot; `None` if nothing was published yet. `nonce` is unique.
///
/// # Errors
/// Outages; `Expired` if snapshots go faster than they can be held.
pub async fn hold(store: &Store, nonce: &str, now_us: i64) -> Result<Option<Held>> {
    let mut n = 0;
    for _ in 0..HOLDS_MAX {
        let published = match latest(store).await {
            Ok(Some(published)) => published,
            Ok(None) => return Ok(None),
            // Vacuum deleted it between the listing and the reading: there is a newer one.
            Err(LakeError::Expired(gone)) => {
                n = gone;
                continue;
            }
            Err(error) => return Err(error),
        };
        n = published.n;
        let lease = Lease { n, expires_us: now_us + LEASE_US };
        let name = format!("{LEASES}/{nonce}.json");
        let name = match put(store, &name, &lease).await {
            Ok(()) => Some(name),
            Err(e) if e.kind() == engine::ports::PortErrorKind::Denied => None,
            Err(e) => return Err(e),
        };
        let held = Held { published, store: store.clone(), name, lease };
        if floor(store).await? <= n {
            return Ok(Some(held));
        }
        held.release(now_us).await?;
    }
    Err(LakeError::Expired(n))
}

impl Held {
    /// Let go. Call it when everything is read, and before an answer is given.
    ///
    /// # Errors
    /// `Expired` if the lease ran out while it was read: the answer may lack rows.
    pub async fn release(self, now_us: i64) -> Result<()> {
        if let Some(name) = &self.name {
            self.store.delete(name).await?;
        }
        match now_us <= self.lease.expires_us {
            true => Ok(()),
            false => Err(LakeError::Expired(self.lease.n)),
        }
    }
}

async fn put(store: &Store, name: &str, lease: &Lease) -> Result<()> {
    let body = serde_json::to_vec(lease).map_err(|e| LakeError::corrupt(name, e))?;
    store.put(name, Bytes::from(body)).await
}

/// The floor; 0 if there is none.
pub(crate) async fn floor(store: &Store) -> Result<u64> {
    Ok(Chain::new(store, FLOOR).numbers_after(None).await?.last().copied().unwrap_or(0))
}

/// Promise that nothing before published object `n` will be read. An equal promise that is there
/// already is as good.
pub(crate) async fn raise_floor(store: &Store, n: u64, nonce: &str) -> Result<()> {
    let chain = Chain::new(store, FLOOR);
    let body = serde_json::json!({"n": n, "nonce": nonce}).to_string();
    chain.create(n, &Bytes::from(body)).await.map(|_| ())
}

/// Delete the floors below the highest one.
pub(crate) async fn cut_floors(store: &Store) -> Result<()> {
    let chain = Chain::new(store, FLOOR);
    let numbers = chain.numbers_after(None).await?;
    for n in numbers.iter().rev().skip(1) {
        chain.delete(*n).await?;
    }
    Ok(())
}

/// The lowest published object that somebody reads. Leases that expired a minute ago are deleted.
pub(crate) async fn lowest(store: &Store, now_us: i64) -> Result<Option<u64>> {
    let mut lowest = None;
    for object in store.list(LEASES, None).await? {
        let Some(bytes) = store.get(&object.name).await? else { continue };
        let lease: Lease =
            serde_json::from_slice(&bytes).map_err(|e| LakeError::corrupt(&object.name, e))?;
        if lease.expires_us + GRACE_US < now_us {
            store.delete(&object.name).await?;
            continue;
        }
        lowest = Some(lowest.map_or(lease.n, |n: u64| n.min(lease.n)));
    }
    Ok(lowest)
}
