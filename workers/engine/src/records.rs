//! Encoded records by key: a table of places in pages that only grow, on disk where memory is
//! short.
//!
//! A record that is replaced is dead where it lies; pages are made anew when most of what is in
//! them is dead.

use std::sync::Arc;

use arrangement::{Budget, Charge};
use arrow::array::{ArrayRef, AsArray, BinaryArray};
use hashbrown::HashTable;

use crate::groups::hash_bytes;

/// Bytes of a page; a longer record has a page of its own.
const PAGE_BYTES: usize = 1 << 22;
/// Lengths before a record's bytes: of its key, its rank and its row.
const HEAD_BYTES: usize = 12;
/// The length of a row that is not there.
const NONE: u32 = u32::MAX;

/// Where a record is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    page: u32,
    at: u32,
}

/// What is kept of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub key: &'a [u8],
    pub rank: &'a [u8],
    pub row: Option<&'a [u8]>,
}

impl Record<'_> {
    fn bytes(&self) -> usize {
        HEAD_BYTES + self.key.len() + self.rank.len() + self.row.map_or(0, <[u8]>::len)
    }
}

/// One record a key.
pub(crate) struct Records {
    table: HashTable<Place>,
    /// Full pages, then the one that grows.
    pages: Vec<Page>,
    live_bytes: usize,
    dead_bytes: usize,
    charge: Charge,
}

enum Page {
    Memory(Vec<u8>),
    /// One value: the page.
    Disk(BinaryArray),
}

impl Page {
    fn bytes(&self) -> &[u8] {
        match self {
            Page::Memory(bytes) => bytes,
            Page::Disk(page) => page.value(0),
        }
    }
}

impl Records {
    /// No records.
    pub(crate) fn new(budget: &Budget) -> Records {
        Records {
            table: HashTable::new(),
            pages: vec![],
            live_bytes: 0,
            dead_bytes: 0,
            charge: budget.charge(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The record of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Record<'_>> {
        let same = |p: &Place| self.at(*p).key == key;
        self.table.find(hash_bytes(key), same).map(|p| self.at(*p))
    }

    /// Keep `record` as its key's.
    pub(crate) fn put(&mut self, record: Record<'_>) {
        let place = self.append(record);
        self.live_bytes += record.bytes();
        let hash = hash_bytes(record.key);
        let pages = &self.pages;
        let same = |p: &Place| at(pages, *p).key == record.key;
        match self.table.find_mut(hash, same) {
            Some(old) => {
                let dead = at(&self.pages, *old).bytes();
                *old = place;
                self.live_bytes -= dead;
                self.dead_bytes += dead;
            }
            None => {
                let key_hash = |p: &Place| hash_bytes(at(pages, *p).key);
                self.table.insert_unique(hash, place, key_hash);
            }
        }
        if self.dead_bytes > PAGE_BYTES && self.dead_bytes > self.live_bytes {
            self.compact();
        }
    }

    /// How many pages there are.
    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The records of a page that are alive.
    pub(crate) fn of_page(&self, page: usize) -> impl Iterator<Item = Record<'_>> {
        let end = self.pages[page].bytes().len();
        let mut next = 0;
        let all = std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let place = Place { page: page as u32, at: next as u32 };
            let record = self.at(place);
            next += record.bytes();
            Some((place, record))
        });
        all.filter(|(place, record)| self.is_at(record.key, *place)).map(|(_, record)| record)
    }

    fn is_at(&self, key: &[u8], place: Place) -> bool {
        self.table.find(hash_bytes(key), |p| *p == place).is_some()
    }

    fn at(&self, place: Place) -> Record<'_> {
        at(&self.pages, place)
    }

    fn append(&mut self, record: Record<'_>) -> Place {
        let bytes = record.bytes();
        let full = |page: &Page| match page {
            Page::Memory(own) => own.len() + bytes > PAGE_BYTES,
            Page::Disk(_) => true,
        };
        if self.pages.last().is_none_or(full) {
            self.settle();
            self.charge.add(PAGE_BYTES.max(bytes));
            self.pages.push(Page::Memory(Vec::with_capacity(PAGE_BYTES.max(bytes))));
        }
        let page = self.pages.len() - 1;
        let Page::Memory(own) = &mut self.pages[page] else {
            unreachable!("the last page is in memory")
        };
        let at = own.len();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(NONE - 1).to_le_bytes();
        own.extend_from_slice(&length(record.key));
        own.extend_from_slice(&length(record.rank));
        own.extend_from_slice(&record.row.map_or(NONE.to_le_bytes(), length));
        own.extend_from_slice(record.key);
        own.extend_from_slice(record.rank);
        own.extend_from_slice(record.row.unwrap_or_default());
        let index = |n: usize| u32::try_from(n).expect("state has fewer than 2^32 pages");
        Place { page: index(page), at: index(at) }
    }

    /// Put full pages on disk while more is in memory than should be.
    fn settle(&mut self) {
        for page in &mut self.pages {
            if !self.charge.budget().is_over() {
                return;
            }
            let Page::Memory(bytes) = page else { continue };
            let column: ArrayRef = Arc::new(BinaryArray::from_vec(vec![bytes.as_slice()]));
            let Some(spilled) = self.charge.budget().spilled(&[column]) else { return };
            let freed = bytes.capacity();
            *page = Page::Disk(spilled[0].as_binary::<i32>().clone());
            self.charge.set(self.charge.bytes().saturating_sub(freed));
        }
    }

    fn compact(&mut self) {
        let budget = self.charge.budget().clone();
        let old = std::mem::replace(self, Records::new(&budget));
        for page in 0..old.pages() {
            old.of_page(page).for_each(|record| self.put(record));
        }
    }
}

fn at(pages: &[Page], place: Place) -> Record<'_> {
    let bytes = &pages[place.page as usize].bytes()[place.at as usize..];
    let length = |i: usize| {
        let word = bytes[4 * i..4 * i + 4].try_into().unwrap_or_default();
        u32::from_le_bytes(word)
    };
    let (key, rank, row) = (length(0) as usize, length(1) as usize, length(2));
    let (key, rest) = bytes[HEAD_BYTES..].split_at(key);
    let (rank, rest) = rest.split_at(rank);
    Record { key, rank, row: (row != NONE).then(|| &rest[..row as usize]) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn the_last_record_of_each_key_is_kept_on_disk_and_off() {
        let folder = tempfile::tempdir().expect("a folder");
        for budget in [Budget::unlimited(), Budget::new(folder.path(), 0).expect("a disk")] {
            let mut rng = StdRng::seed_from_u64(3);
            let (mut records, mut model) = (Records::new(&budget), BTreeMap::new());
            for step in 0u32..3_000 {
                let key = rng.random_range(0..200u32).to_le_bytes();
                // Long enough for many pages, and for compaction.
                let row = vec![step as u8; rng.random_range(0..20_000)];
                let row = rng.random_bool(0.8).then_some(row);
                let rank = step.to_be_bytes();
                records.put(Record { key: &key, rank: &rank, row: row.as_deref() });
                model.insert(key, (rank, row));
            }
            assert!(records.dead_bytes <= records.live_bytes.max(PAGE_BYTES));
            for (key, (rank, row)) in &model {
                let want = Record { key, rank, row: row.as_deref() };
                assert_eq!(records.get(key), Some(want));
            }
            let pages = 0..records.pages();
            let found: usize = pages.map(|p| records.of_page(p).count()).sum();
            assert_eq!(found, model.len());
            assert_eq!(records.get(b"none"), None);
        }
    }
}
