//! How much memory state may take, and the local disk that takes the rest.
//!
//! What goes to disk is mapped back: columns keep their form, readers do not notice, and the
//! system's page cache keeps what is hot and drops what is not, under the limit of the process's
//! control group. Files have no name: they are gone with their last reader, however the process
//! ends.

use std::fs::File;
use std::io::{BufWriter, Error, Read, Result, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use memmap2::{Mmap, MmapMut};

use crate::run::Run;
use crate::spill::{Offered, Spill, Stored};
use crate::wire;

/// Memory for state, shared by everything that holds some. Cheap to clone.
#[derive(Clone, Default)]
pub struct Budget(Option<Arc<Limited>>);

struct Limited {
    folder: PathBuf,
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    spilled_bytes: AtomicU64,
    failed: AtomicU64,
}

/// Bytes of state in memory, counted until this is dropped.
#[derive(Default)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// As much as there is.
    pub fn unlimited() -> Budget {
        Budget(None)
    }

    /// `limit_bytes` of memory; the rest lies in `folder`, which is made if need be.
    ///
    /// # Errors
    /// The folder cannot be made, or no file in it.
    pub fn new(folder: &Path, limit_bytes: usize) -> Result<Budget> {
        std::fs::create_dir_all(folder)?;
        tempfile::tempfile_in(folder)?;
        Ok(Budget(Some(Arc::new(Limited {
            folder: folder.to_path_buf(),
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            spilled_bytes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))))
    }

    /// Whether as much is in memory as may be, or more.
    pub fn is_over(&self) -> bool {
        let over = |l: &Arc<Limited>| l.used_bytes.load(Ordering::Relaxed) >= l.limit_bytes;
        self.0.as_ref().is_some_and(over)
    }

    /// Bytes of state in memory, as far as it was charged.
    pub fn used_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |l| l.used_bytes.load(Ordering::Relaxed))
    }

    /// Bytes that went to disk so far.
    pub fn spilled_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |l| l.spilled_bytes.load(Ordering::Relaxed))
    }

    /// How often something stayed in memory because the disk did not take it.
    pub fn failed(&self) -> u64 {
        self.0.as_ref().map_or(0, |l| l.failed.load(Ordering::Relaxed))
    }

    /// Nothing yet, to be counted.
    pub fn charge(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    /// The same columns on disk; `None` if there is no limit, or the disk does not take them: then
    /// they have to stay where they are.
    pub fn spilled(&self, columns: &[ArrayRef]) -> Option<Vec<ArrayRef>> {
        let limited = self.0.as_ref()?;
        match limited.spilled(columns) {
            Ok(mapped) => Some(mapped),
            Err(_) => {
                limited.failed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// `words` zeros on disk, to be written to; `None` as for [`Budget::spilled`].
    pub fn page(&self, words: usize) -> Option<Page> {
        let limited = self.0.as_ref()?;
        match limited.page(words) {
            Ok(page) => Some(page),
            Err(_) => {
                limited.failed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

impl Spill for Budget {
    fn offer(&mut self, run: &Run) -> Offered {
        let Some(limited) = &self.0 else { return Offered::Kept(None) };
        if self.is_over() {
            match limited.run(run) {
                Ok(stored) => return Offered::Stored(Arc::new(stored)),
                Err(_) => limited.failed.fetch_add(1, Ordering::Relaxed),
            };
        }
        let mut charge = self.charge();
        charge.set(run.bytes());
        Offered::Kept(Some(charge))
    }
}

/// A run on disk.
struct StoredRun(Mmap);

impl Stored for StoredRun {
    fn load(&self) -> Run {
        wire::read_run(&self.0[..]).unwrap_or_else(|e| panic!("a chunk on disk: {e}"))
    }
}

impl Charge {
    /// Count `bytes` from now on.
    pub fn set(&mut self, bytes: usize) {
        let Some(limited) = &self.budget.0 else { return };
        if bytes >= self.bytes {
            limited.used_bytes.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            limited.used_bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Count `bytes` more.
    pub fn add(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    /// What is counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whose memory it is.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Limited {
    fn spilled(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let field = |c: &ArrayRef| Field::new("", c.data_type().clone(), true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema.clone(), columns.to_vec()).map_err(Error::other)?;
        let file = tempfile::tempfile_in(&self.folder)?;
        let mut writer = StreamWriter::try_new(BufWriter::with_capacity(1 << 20, &file), &schema)
            .map_err(Error::other)?;
        writer.write(&batch).map_err(Error::other)?;
        writer.finish().map_err(Error::other)?;
        writer.into_inner().map_err(Error::other)?.flush()?;
        self.spilled_bytes.fetch_add(file.metadata()?.len(), Ordering::Relaxed);
        let mut bytes = Buffer::from(bytes::Bytes::from_owner(mapped(&file)?));
        let mut decoder = StreamDecoder::new();
        while !bytes.is_empty() {
            if let Some(batch) = decoder.decode(&mut bytes).map_err(Error::other)? {
                return Ok(batch.columns().to_vec());
            }
        }
        Err(Error::other("a file that was just written has no rows"))
    }

    fn run(&self, run: &Run) -> Result<StoredRun> {
        let file = tempfile::tempfile_in(&self.folder)?;
        let mut writer = BufWriter::with_capacity(1 << 20, &file);
        wire::write_run(run, &mut writer)?;
        writer.flush()?;
        self.spilled_bytes.fetch_add(file.metadata()?.len(), Ordering::Relaxed);
        Ok(StoredRun(mapped(&file)?))
    }

    fn page(&self, words: usize) -> Result<Page> {
        let file = tempfile::tempfile_in(&self.folder)?;
        let bytes = words * size_of::<i64>();
        // Written, not only sized: a full disk is found out now, not when a page is written back.
        std::io::copy(&mut std::io::repeat(0).take(bytes as u64), &mut BufWriter::new(&file))?;
        self.spilled_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(Page(writable(&file)?))
    }
}

#[allow(unsafe_code)]
fn mapped(file: &File) -> Result<Mmap> {
    // SAFETY: the file has no name and its only handle is ours: nobody changes or truncates it
    // while it is mapped.
    unsafe { Mmap::map(file) }
}

#[allow(unsafe_code)]
fn writable(file: &File) -> Result<MmapMut> {
    // SAFETY: as above; all writes go through the one owner of the map.
    unsafe { MmapMut::map_mut(file) }
}

/// Words on disk.
pub struct Page(MmapMut);

impl Page {
    /// The words.
    pub fn words(&self) -> &[i64] {
        bytemuck::cast_slice(&self.0)
    }

    /// The words, to be changed.
    pub fn words_mut(&mut self) -> &mut [i64] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn what_goes_to_disk_comes_back_and_leaves_no_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let budget = Budget::new(folder.path(), 100).expect("a disk");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter((0..1_000).map(|i| (i % 7 != 0).then_some(i)))),
            Arc::new(StringArray::from_iter_values((0..1_000).map(|i| format!("campaign {i}")))),
        ];
        let sliced: Vec<ArrayRef> = columns.iter().map(|c| c.slice(10, 900)).collect();
        let mapped = budget.spilled(&sliced).expect("there is room");
        assert_eq!(mapped, sliced);
        assert!(budget.spilled_bytes() > 10_000);
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn charges_are_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let budget = Budget::new(folder.path(), 100).expect("a disk");
        let (mut a, mut b) = (budget.charge(), budget.charge());
        a.set(80);
        b.add(30);
        assert!(budget.is_over());
        a.set(69);
        assert!(!budget.is_over());
        drop(a);
        assert_eq!(budget.used_bytes(), 30);
    }

    #[test]
    fn a_page_keeps_what_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let budget = Budget::new(folder.path(), 0).expect("a disk");
        let mut page = budget.page(4_096).expect("there is room");
        page.words_mut()[4_095] = 7;
        assert_eq!((page.words()[0], page.words()[4_095]), (0, 7));
        assert!(Budget::unlimited().page(1).is_none());
    }
}
