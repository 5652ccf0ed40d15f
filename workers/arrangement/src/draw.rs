//! Drawing the rows of chosen keys out of many batches, as one run.
//!
//! Keys are chosen by hash, ascending: batches are read in their own order, skipping whole chunks
//! (spilled ones unread) between the hashes wanted.

use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

use schemas::Time;

use crate::assemble::Assembly;
use crate::chunk::{Batch, Chunk, KEPT};
use crate::compare::{RowOrder, gallop};
use crate::merge::merge_all;
use crate::run::Run;

/// A reading position in one batch, and what was taken so far.
struct Cursor<const ROWS: usize> {
    batch: Rc<Batch<ROWS>>,
    chunk: usize,
    /// Next key of the chunk that is open.
    key: usize,
    open: Option<(Arc<Run>, Option<u32>)>,
    taken: Assembly,
}

impl<const ROWS: usize> Cursor<ROWS> {
    fn chunks(&self) -> &[Chunk<KEPT, ROWS>] {
        &self.batch.chunks
    }

    /// Hash of the next key.
    fn head(&self) -> Option<u64> {
        match &self.open {
            Some((run, _)) => Some(run.hashes[self.key]),
            None => self.chunks().get(self.chunk).map(Chunk::first_hash),
        }
    }

    fn open(&mut self) -> (Arc<Run>, u32) {
        let chunk = self.chunk;
        let batch = &self.batch;
        let (run, source) = self.open.get_or_insert_with(|| (batch.chunks[chunk].run(), None));
        let source = *source.get_or_insert_with(|| self.taken.add_source(Arc::clone(run)));
        (Arc::clone(run), source)
    }

    fn close(&mut self, next_chunk: usize) {
        self.chunk = next_chunk;
        self.key = 0;
        self.open = None;
    }

    /// Move on to the first key whose hash is `hash` or greater.
    fn seek(&mut self, hash: u64) {
        if self.head().is_none_or(|head| head >= hash) {
            return;
        }
        let chunks = self.chunks();
        let chunk = gallop(self.chunk, chunks.len(), |c| chunks[c].last_hash() < hash);
        if chunk > self.chunk {
            self.close(chunk);
        }
        if self.head().is_some_and(|head| head < hash) {
            let (run, _) = self.open();
            self.key = gallop(self.key, run.key_count(), |k| run.hashes[k] < hash);
        }
    }

    /// Take all rows of `hash`; the place of the first among those taken.
    fn take(&mut self, hash: u64) -> usize {
        let start = self.taken.len();
        self.seek(hash);
        while self.head() == Some(hash) {
            let (run, source) = self.open();
            let count = run.key_count();
            let end = (self.key + 1..count).find(|k| run.hashes[*k] != hash).unwrap_or(count);
            self.taken.whole_keys(source, self.key, end, run.key_start(self.key));
            if end == count { self.close(self.chunk + 1) } else { self.key = end }
        }
        start
    }
}

/// Reading positions in many batches that move together.
pub(crate) struct Draw<const ROWS: usize>(Vec<Cursor<ROWS>>);

impl<const ROWS: usize> Draw<ROWS> {
    /// At the start of `batches`.
    pub(crate) fn new<'a>(batches: impl IntoIterator<Item = &'a Rc<Batch<ROWS>>>) -> Self {
        let cursor = |batch: &Rc<Batch<ROWS>>| Cursor {
            batch: Rc::clone(batch),
            chunk: 0,
            key: 0,
            open: None,
            taken: Assembly::default(),
        };
        Draw(batches.into_iter().map(cursor).collect())
    }

    /// The least hash that lies ahead.
    pub(crate) fn head(&self) -> Option<u64> {
        self.0.iter().filter_map(Cursor::head).min()
    }

    /// Move on to `hash`.
    pub(crate) fn seek(&mut self, hash: u64) {
        self.0.iter_mut().for_each(|cursor| cursor.seek(hash));
    }

    /// Take the rows of `hash`; `times` sees their times as they are. Returns how many.
    pub(crate) fn take(&mut self, hash: u64, mut times: impl FnMut(&[Time])) -> usize {
        let mut rows = 0;
        for cursor in &mut self.0 {
            let start = cursor.take(hash);
            rows += cursor.taken.len() - start;
            times(cursor.taken.times_from(start));
        }
        rows
    }

    /// What was taken since the last call, per batch.
    pub(crate) fn parts(&mut self) -> Vec<Arc<Run>> {
        let part = |cursor: &mut Cursor<ROWS>| {
            if let Some((_, source)) = &mut cursor.open {
                *source = None;
            }
            std::mem::take(&mut cursor.taken).finish().map(Arc::new)
        };
        self.0.iter_mut().filter_map(part).collect()
    }

    /// What was taken since the last call: merged, times before `lower` moved to it, consolidated.
    pub(crate) fn merged(&mut self, lower: Time) -> Option<Arc<Run>> {
        merge_all(self.parts(), lower)
    }
}

/// The distinct keys of two runs in order, each with its place in either.
pub(crate) fn align(left: &Run, right: &Run) -> Vec<(Option<usize>, Option<usize>)> {
    let (m, n) = (left.key_count(), right.key_count());
    // An empty run has no columns to compare, nor keys.
    let order = (m > 0 && n > 0).then(|| RowOrder::new(&left.keys, &right.keys));
    let (mut i, mut j, mut keys) = (0, 0, Vec::with_capacity(m.max(n)));
    while i < m || j < n {
        let side = match &order {
            Some(order) if i < m && j < n => {
                left.hashes[i].cmp(&right.hashes[j]).then_with(|| order.compare(i, j))
            }
            _ if i < m => Ordering::Less,
            _ => Ordering::Greater,
        };
        keys.push((side.is_le().then_some(i), side.is_ge().then_some(j)));
        i += usize::from(side.is_le());
        j += usize::from(side.is_ge());
    }
    keys
}
