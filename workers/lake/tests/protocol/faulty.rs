//! An object store that answers as badly as real ones do.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidewatch_lake::Store;
use tokio::sync::oneshot;

/// One process's view of a shared store.
pub struct Faulty {
    inner: Arc<InMemory>,
    /// Share of creating puts and deletions that go wrong.
    faults: f64,
    rng: Mutex<StdRng>,
    gate: Mutex<Option<Gate>>,
}

/// Holds the next creating put whose name contains a text.
struct Gate {
    part: String,
    reached: oneshot::Sender<()>,
    open: oneshot::Receiver<()>,
}

impl Faulty {
    pub fn new(inner: &Arc<InMemory>, faults: f64, seed: u64) -> Arc<Faulty> {
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        Arc::new(Faulty { inner: inner.clone(), faults, rng, gate: Mutex::new(None) })
    }

    /// A lake on it.
    pub fn lake(self: &Arc<Self>) -> Store {
        Store { inner: self.clone(), root: Path::default(), local: None }
    }

    /// Hold the next creating put whose name contains `part`: the first end says that it got
    /// there, the second lets it go on.
    pub fn hold(&self, part: &str) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (reached, reaching) = oneshot::channel();
        let (opening, open) = oneshot::channel();
        *self.gate.lock().expect("no panic") = Some(Gate { part: part.to_string(), reached, open });
        (reaching, opening)
    }

    fn draw(&self) -> Option<u8> {
        let mut rng = self.rng.lock().expect("no panic");
        rng.random_bool(self.faults).then(|| rng.random_range(0..4))
    }

    fn gate_for(&self, location: &Path) -> Option<Gate> {
        let mut gate = self.gate.lock().expect("no panic");
        gate.take_if(|g| location.as_ref().contains(&g.part))
    }
}

fn timed_out() -> Error {
    Error::Generic { store: "faulty", source: "the request timed out".into() }
}

fn exists(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "409 Conflict".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty")
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if opts.mode != PutMode::Create {
            return self.inner.put_opts(location, payload, opts).await;
        }
        if let Some(gate) = self.gate_for(location) {
            let _ = gate.reached.send(());
            let _ = gate.open.await;
        }
        match self.draw() {
            None => self.inner.put_opts(location, payload, opts).await,
            // Done, but the answer is lost.
            Some(0) => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                Err(timed_out())
            }
            // Done, repeated inside the client, answered by the repetition.
            Some(1) => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                Err(exists(location))
            }
            // A 409 between two requests: nothing is there.
            Some(2) => Err(exists(location)),
            Some(_) => Err(timed_out()),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.draw() {
            None | Some(0) => self.inner.delete_stream(locations),
            Some(_) => futures::stream::iter([Err(timed_out())]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
