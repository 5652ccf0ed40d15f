//! From changes in any order to a run.

use std::cmp::Ordering;

use arrow::array::ArrayRef;
use schemas::{Diff, Time};

use crate::columns::{concat_rows, take_rows};
use crate::compare::{RowOrder, prefixes};
use crate::hash::hash_rows;
use crate::run::Run;
use crate::updates::{Lane, Updates};

/// Changes in any order, their columns split into key and value.
pub(crate) struct Unsorted {
    /// Hash of each row's key.
    pub(crate) hashes: Vec<u64>,
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) values: Vec<ArrayRef>,
    pub(crate) times: Lane<Time>,
    pub(crate) count: Lane<Diff>,
    pub(crate) sums: Vec<Lane<i128>>,
}

/// A row by what orders it first: key hash, then a prefix of the first value column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    hash: u64,
    prefix: u64,
    row: u32,
}

impl Unsorted {
    /// Split columns into key (those at the positions `keys`) and value (the others).
    pub(crate) fn split(updates: Updates, keys: &[usize], hash_mask: u64) -> Unsorted {
        let rows = updates.len();
        let Updates { columns, times, count, sums, .. } = updates;
        let key_columns: Vec<ArrayRef> = keys.iter().map(|k| columns[*k].clone()).collect();
        let mut hashes = hash_rows(&key_columns, rows);
        hashes.iter_mut().for_each(|hash| *hash &= hash_mask);
        let values = columns.into_iter().enumerate().filter(|(c, _)| !keys.contains(c));
        let values = values.map(|(_, column)| column).collect();
        Unsorted { hashes, keys: key_columns, values, times, count, sums }
    }

    /// All changes of `parts`; `None` if there is no part.
    pub(crate) fn concat(mut parts: Vec<Unsorted>) -> Option<Unsorted> {
        if parts.len() < 2 {
            return parts.pop();
        }
        let columns = |of: fn(&Unsorted) -> &Vec<ArrayRef>| {
            let sets: Vec<&[ArrayRef]> = parts.iter().map(|p| &of(p)[..]).collect();
            concat_rows(&sets)
        };
        Some(Unsorted {
            hashes: parts.iter().flat_map(|p| &p.hashes).copied().collect(),
            keys: columns(|p| &p.keys),
            values: columns(|p| &p.values),
            times: Lane::concat(parts.iter().map(|p| &p.times)),
            count: Lane::concat(parts.iter().map(|p| &p.count)),
            sums: (0..parts[0].sums.len())
                .map(|s| Lane::concat(parts.iter().map(|p| &p.sums[s])))
                .collect(),
        })
    }

    /// The changes sorted and consolidated, or `None` if they cancel.
    pub(crate) fn sorted(&self) -> Option<Run> {
        let key_order = RowOrder::new(&self.keys, &self.keys);
        let value_order = RowOrder::new(&self.values, &self.values);
        let mut places = self.places();
        places.sort_unstable();
        let rest = |x: &Place, y: &Place| {
            let (x, y) = (x.row as usize, y.row as usize);
            let values = value_order.compare(x, y);
            values.then_with(|| self.times.get(x).cmp(&self.times.get(y)))
        };
        for same_hash in places.chunk_by_mut(|x, y| x.hash == y.hash) {
            let key = |x: &Place, y: &Place| key_order.compare(x.row as usize, y.row as usize);
            if same_hash.windows(2).all(|w| key(&w[0], &w[1]) == Ordering::Equal) {
                for tied in same_hash.chunk_by_mut(|x, y| x.prefix == y.prefix) {
                    if tied.len() > 1 {
                        tied.sort_unstable_by(rest);
                    }
                }
            } else {
                // Several keys collide on this hash: prefixes order rows of one key only.
                same_hash.sort_unstable_by(|x, y| key(x, y).then_with(|| rest(x, y)));
            }
        }
        self.consolidate(&places, &key_order, &value_order)
    }

    fn places(&self) -> Vec<Place> {
        let prefix = self.values.first().and_then(prefixes);
        let place = |(i, hash): (usize, &u64)| Place {
            hash: *hash,
            prefix: prefix.as_ref().map_or(0, |p| p[i]),
            row: i as u32,
        };
        self.hashes.iter().enumerate().map(place).collect()
    }

    fn consolidate(
        &self,
        places: &[Place],
        key_order: &RowOrder<'_>,
        value_order: &RowOrder<'_>,
    ) -> Option<Run> {
        let same = |x: &Place, y: &Place| {
            let (i, j) = (x.row as usize, y.row as usize);
            x.hash == y.hash
                && x.prefix == y.prefix
                && self.times.get(i) == self.times.get(j)
                && value_order.equal(i, j)
                && key_order.equal(i, j)
        };
        let mut rows: Vec<u32> = Vec::with_capacity(places.len());
        let mut count = Vec::with_capacity(places.len());
        let mut sums = vec![Vec::new(); self.sums.len()];
        let (mut key_rows, mut hashes, mut ends) = (Vec::<u32>::new(), Vec::new(), Vec::new());
        let mut totals = vec![0i128; self.sums.len()];
        for equal in places.chunk_by(same) {
            let copies: Diff = equal.iter().map(|p| self.count.get(p.row as usize)).sum();
            for (total, sum) in totals.iter_mut().zip(&self.sums) {
                let add = |t: i128, p: &Place| t.wrapping_add(sum.get(p.row as usize));
                *total = equal.iter().fold(0, add);
            }
            if copies == 0 && totals.iter().all(|t| *t == 0) {
                continue;
            }
            let first = equal[0];
            let is_new = |key: &u32| !key_order.equal(*key as usize, first.row as usize);
            if hashes.last() != Some(&first.hash) || key_rows.last().is_none_or(is_new) {
                hashes.push(first.hash);
                key_rows.push(first.row);
                ends.push(0);
            }
            rows.push(first.row);
            count.push(copies);
            sums.iter_mut().zip(&totals).for_each(|(sum, total)| sum.push(*total));
            if let Some(end) = ends.last_mut() {
                *end = rows.len() as u32;
            }
        }
        if rows.is_empty() {
            return None;
        }
        Some(Run {
            hashes: hashes.into(),
            ends: ends.into(),
            base: 0,
            keys: take_rows(&self.keys, key_rows),
            allocated: rows.len(),
            times: Lane::each(self.times.take(&rows).iter().collect()),
            count: Lane::each(count),
            sums: sums.into_iter().map(Lane::each).collect(),
            values: take_rows(&self.values, rows),
        })
    }
}
