//! Which groups changed, and what becomes of those that are gone.

use arrangement::{Lane, Updates};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schemas::Time;

use super::{Before, Groups, Keys, PAGE_GROUPS, TOUCHED, key, keys, whole};

/// One number of some groups.
pub(crate) enum Lane64 {
    Longs(Vec<i64>),
    Wide(Vec<i128>),
}

impl Lane64 {
    #[inline]
    pub(crate) fn get(&self, i: usize) -> i128 {
        match self {
            Lane64::Longs(v) => i128::from(v[i]),
            Lane64::Wide(v) => v[i],
        }
    }
}

/// Groups that changed: each as it was (-1) and as it is (+1), where it was and is.
pub(crate) struct Changed {
    /// Key columns.
    pub keys: Vec<ArrayRef>,
    pub diffs: Vec<i64>,
    /// Per number of the layout, one value a row.
    pub numbers: Vec<Lane64>,
}

impl Groups {
    /// The next groups that changed, some `rows` rows of them; `None` when all were told.
    pub(crate) fn changes(&mut self, rows: usize) -> Result<Option<Changed>, ArrowError> {
        match self.loading {
            true => self.loaded(rows),
            false => self.changed(rows),
        }
    }

    /// Groups of a first load, in the order they came.
    fn loaded(&mut self, rows: usize) -> Result<Option<Changed>, ArrowError> {
        let width = self.layout.width;
        let (mut groups, mut gone) = (vec![], vec![]);
        while groups.len() < rows && self.drained < self.made {
            let group = u32::try_from(self.drained).expect("a worker has fewer than 2^32 groups");
            self.drained += 1;
            let start = self.start(group);
            self.pages.page_mut(group as usize / PAGE_GROUPS)[start] &= !TOUCHED;
            if (0..width).all(|at| self.number(group, at) == 0) {
                gone.push(group);
            }
            if self.number(group, 0) > 0 {
                groups.push(group);
            }
        }
        let lane = |at: usize| match self.wide.is_empty() {
            true => Lane64::Longs(self.words(&groups, self.base + at)),
            false => Lane64::Wide(groups.iter().map(|g| self.number(*g, at)).collect()),
        };
        let numbers = (0..width).map(lane).collect();
        let keys = self.key_columns(&groups)?;
        gone.into_iter().for_each(|g| self.remove(g));
        if self.drained == self.made {
            self.drained = 0;
            match self.table.is_empty() {
                // What comes next is a first load again.
                true => self.clear(),
                false => {
                    self.loading = false;
                    self.compact();
                }
            }
        }
        let diffs = vec![1; groups.len()];
        Ok((!diffs.is_empty()).then_some(Changed { keys, diffs, numbers }))
    }

    fn changed(&mut self, rows: usize) -> Result<Option<Changed>, ArrowError> {
        let width = self.layout.width;
        let mut numbers: Vec<Vec<i128>> = vec![vec![]; width];
        let (mut groups, mut diffs) = (vec![], vec![]);
        let mut gone = vec![];
        while diffs.len() < rows && self.drained < self.before.len() {
            let from = match self.drained {
                0 => 0,
                n => self.before[n - 1].end,
            };
            let Before { group, end } = self.before[self.drained];
            self.drained += 1;
            let start = self.start(group);
            self.pages.page_mut(group as usize / PAGE_GROUPS)[start] &= !TOUCHED;
            let old = &self.before_numbers[from..end];
            // What was kept before may be less than what is kept now.
            let was_at = |at: usize| old.get(at).copied().unwrap_or(0);
            let is = |at: usize| self.number(group, at);
            let there = is(0) > 0;
            if (0..width).all(|at| is(at) == 0) {
                gone.push(group);
            }
            let was = !old.is_empty() && old[0] > 0;
            if was && there && (0..width).all(|at| is(at) == was_at(at)) {
                continue;
            }
            for (wanted, diff) in [(was, -1), (there, 1)] {
                if !wanted {
                    continue;
                }
                groups.push(group);
                diffs.push(diff);
                for (at, lane) in numbers.iter_mut().enumerate() {
                    lane.push(if diff < 0 { was_at(at) } else { is(at) });
                }
            }
        }
        let keys = self.key_columns(&groups)?;
        gone.into_iter().for_each(|g| self.remove(g));
        if self.drained == self.before.len() {
            self.before = vec![];
            self.before_numbers = vec![];
            self.drained = 0;
            self.compact();
        }
        let numbers = numbers.into_iter().map(Lane64::Wide).collect();
        Ok((!diffs.is_empty()).then_some(Changed { keys, diffs, numbers }))
    }

    /// The word at `at` of each group's record; 0 if it has none.
    fn words(&self, groups: &[u32], at: usize) -> Vec<i64> {
        if at >= self.stride {
            return vec![0; groups.len()];
        }
        groups.iter().map(|g| self.record(*g)[at]).collect()
    }

    fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        match &self.keys {
            Keys::Rows { converter, .. } => {
                let parser = converter.parser();
                converter.convert_rows(groups.iter().map(|g| parser.parse(self.key_bytes(*g))))
            }
            Keys::Words(types) => {
                let flags = self.words(groups, 0);
                let one = |(k, t): (usize, &DataType)| {
                    let null: Vec<bool> = flags.iter().map(|f| f >> k & 1 == 1).collect();
                    keys::column(t, &self.words(groups, 1 + k), &null)
                };
                types.iter().enumerate().map(one).collect()
            }
        }
    }

    /// All groups as changes at `time`, for another table's [`Groups::add_groups`]. None stay.
    pub(crate) fn drained(&mut self, time: Time) -> Result<Updates, ArrowError> {
        let groups: Vec<u32> = (0..self.made as u32).collect();
        let columns = self.key_columns(&groups)?;
        let lane =
            |at: usize| -> Vec<i128> { groups.iter().map(|g| self.number(*g, at)).collect() };
        let count = Lane::each(self.rows_of(&groups));
        let sums = (1..self.layout.width).map(|at| Lane::each(lane(at))).collect();
        let all = Updates::with_sums(columns, Lane::constant(time, groups.len()), count, sums);
        self.clear();
        Ok(all)
    }

    fn rows_of(&self, groups: &[u32]) -> Vec<i64> {
        groups.iter().map(|g| self.number(*g, 0) as i64).collect()
    }

    fn clear(&mut self) {
        self.table.clear();
        if let Keys::Rows { bytes, ends, .. } = &mut self.keys {
            bytes.clear();
            ends.clear();
        }
        self.made = 0;
        self.pages.clear(PAGE_GROUPS * self.stride);
        self.wide.clear();
        self.loading = true;
        self.before.clear();
        self.before_numbers.clear();
        self.drained = 0;
        self.dead = 0;
    }

    fn remove(&mut self, group: u32) {
        let hash = self.hash(group);
        if let Ok(entry) = self.table.find_entry(whole(hash), |(g, _)| *g == group) {
            entry.remove();
            self.wide.remove(&group);
            self.dead += 1;
        }
    }

    /// Make the pages anew if most of what is in them is dead.
    fn compact(&mut self) {
        if self.dead < PAGE_GROUPS || self.dead < self.table.len() {
            return;
        }
        let mut live: Vec<u32> = self.table.iter().map(|(g, _)| *g).collect();
        live.sort_unstable();
        let (pages, wide) = (self.pages.take(), std::mem::take(&mut self.wide));
        let (bytes, ends) = match &mut self.keys {
            Keys::Words(_) => (vec![], vec![]),
            Keys::Rows { bytes, ends, .. } => (std::mem::take(bytes), std::mem::take(ends)),
        };
        self.clear();
        for old in live {
            let (page, start) = (pages.page(old as usize / PAGE_GROUPS), self.start(old));
            let record = &page[start..start + self.stride];
            let group = self.make(record[0]);
            let start = self.start(group);
            self.pages.page_mut(group as usize / PAGE_GROUPS)[start..start + self.stride]
                .copy_from_slice(record);
            if !bytes.is_empty() {
                self.keep_bytes(key(&bytes, &ends, old));
            }
            if let Some(numbers) = wide.get(&old) {
                self.wide.insert(group, numbers.clone());
            }
            self.enter(self.hash(group), group);
        }
        self.loading = false;
    }
}
