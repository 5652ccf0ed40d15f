//! Groups whose aggregates can be undone: a key, how many rows, and a few exact numbers.
//!
//! A group takes 8 bytes a number. A number that outgrows 64 bits moves its group to a side table,
//! so totals are exact whatever the values are on the way.

use std::collections::HashMap;

use arrangement::{Lane, Updates};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;
use schemas::Time;

use crate::numbers::widen;
use crate::plan::{Aggregate, AggregateKind};

/// Groups per page: a table that grows copies nothing.
const PAGE_GROUPS: usize = 1 << 12;

/// What is kept of each group, in this order: rows, then the sum of each aggregate that has one,
/// then how many rows each aggregate does *not* count (null or filtered away; if it can have such
/// rows). The last are kept from the first such row on.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub aggregates: Vec<Aggregate>,
    /// Where each aggregate's sum is.
    pub sums: Vec<Option<usize>>,
    /// Where the number of rows it does not count is.
    pub missing: Vec<Option<usize>>,
    /// Numbers while every row is counted.
    lean: usize,
    pub width: usize,
}

impl Layout {
    pub(crate) fn new(aggregates: &[Aggregate]) -> Layout {
        let mut width = 1;
        let mut next = |wanted: bool| {
            width += usize::from(wanted);
            wanted.then(|| width - 1)
        };
        let summed = |a: &Aggregate| matches!(a.function, AggregateKind::Sum | AggregateKind::Avg);
        let partial = |a: &Aggregate| !a.args.is_empty() || a.filter.is_some();
        let sums: Vec<_> = aggregates.iter().map(|a| next(summed(a))).collect();
        let lean = 1 + sums.iter().flatten().count();
        let missing = aggregates.iter().map(|a| next(partial(a))).collect();
        Layout { aggregates: aggregates.to_vec(), sums, missing, lean, width }
    }
}

/// An argument's values.
enum Numbers<'a> {
    Longs(&'a [i64]),
    Wide(Vec<i128>),
}

/// One aggregate's view of a batch.
struct Column<'a> {
    numbers: Option<Numbers<'a>>,
    nulls: Option<&'a NullBuffer>,
    filter: Option<&'a BooleanArray>,
}

impl Column<'_> {
    fn of<'a>(aggregate: &Aggregate, updates: &'a Updates) -> Column<'a> {
        let arg = aggregate.args.first().map(|c| &updates.columns[*c]);
        let summed = matches!(aggregate.function, AggregateKind::Sum | AggregateKind::Avg);
        let numbers = arg.filter(|_| summed).map(|a| match a.data_type() {
            DataType::Int64 => {
                Numbers::Longs(a.as_primitive::<arrow::datatypes::Int64Type>().values())
            }
            _ => Numbers::Wide(widen(a).unwrap_or_else(|| vec![0; a.len()])),
        });
        Column {
            numbers,
            nulls: arg.and_then(|a| a.nulls()),
            filter: aggregate.filter.map(|c| updates.columns[c].as_boolean()),
        }
    }

    #[inline]
    fn counts(&self, i: usize) -> bool {
        self.nulls.is_none_or(|n| n.is_valid(i))
            && self.filter.is_none_or(|f| f.is_valid(i) && f.value(i))
    }
}

/// What a group's numbers were before a time.
struct Before {
    group: u32,
    /// One past its last number in `Groups::before_numbers`; without any, the group is new.
    end: usize,
}

/// A table of groups.
pub(crate) struct Groups {
    layout: Layout,
    keys: Vec<usize>,
    converter: RowConverter,
    table: HashTable<u32>,
    /// Keys as rows, one behind the other, page by page; where each ends.
    bytes: Vec<Vec<u8>>,
    ends: Vec<u32>,
    /// Numbers of each group, `stride` a group.
    pages: Vec<Vec<i64>>,
    /// The layout's lean width, or its whole.
    stride: usize,
    /// Groups with a number beyond 64 bits.
    wide: HashMap<u32, Vec<i128>>,
    /// Groups that changed since the last [`Groups::changes`], and what they were.
    touched: Vec<bool>,
    before: Vec<Before>,
    before_numbers: Vec<i128>,
    drained: usize,
    /// Groups that are not in the table any more, and still in the pages.
    dead: usize,
}

/// Groups that changed: each as it was (-1) and as it is (+1), where it was and is.
pub(crate) struct Changed {
    /// Key columns.
    pub keys: Vec<ArrayRef>,
    pub diffs: Vec<i64>,
    /// Per number of the layout, one value a row.
    pub numbers: Vec<Vec<i128>>,
}

impl Groups {
    /// No groups; keys are the columns `keys` of what comes, of these types.
    pub(crate) fn new(
        layout: Layout,
        keys: &[usize],
        types: &[DataType],
    ) -> Result<Groups, ArrowError> {
        let fields = types.iter().map(|t| SortField::new(t.clone()));
        Ok(Groups {
            stride: layout.lean,
            layout,
            keys: keys.to_vec(),
            converter: RowConverter::new(fields.collect())?,
            table: HashTable::new(),
            bytes: vec![],
            ends: vec![],
            pages: vec![],
            wide: HashMap::new(),
            touched: vec![],
            before: vec![],
            before_numbers: vec![],
            drained: 0,
            dead: 0,
        })
    }

    /// Groups there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Add rows as they are.
    pub(crate) fn add_rows(&mut self, updates: &Updates) -> Result<(), ArrowError> {
        let groups = self.groups(updates)?;
        let layout = self.layout.clone();
        for (i, group) in groups.iter().enumerate() {
            self.add(*group, 0, i128::from(updates.count.get(i)));
        }
        for (a, aggregate) in layout.aggregates.iter().enumerate() {
            let column = Column::of(aggregate, updates);
            self.add_column(&groups, &updates.count, &column, layout.sums[a], layout.missing[a]);
        }
        Ok(())
    }

    /// Every row counts once, and so does every value.
    fn add_longs(&mut self, groups: &[u32], values: &[i64], at: usize) {
        for (group, value) in groups.iter().zip(values) {
            let (page, row) = (*group as usize / PAGE_GROUPS, *group as usize % PAGE_GROUPS);
            let number = &mut self.pages[page][row * self.stride + at];
            match number.checked_add(*value).filter(|_| self.wide.is_empty()) {
                Some(sum) => *number = sum,
                None => self.add(*group, at, i128::from(*value)),
            }
        }
    }

    fn add_column(
        &mut self,
        groups: &[u32],
        count: &Lane<i64>,
        column: &Column<'_>,
        sum: Option<usize>,
        missing: Option<usize>,
    ) {
        let all = column.nulls.is_none() && column.filter.is_none();
        if let (true, Lane::Constant { value: 1, .. }) = (all, count) {
            match (sum, &column.numbers) {
                (None, _) => return,
                (Some(at), Some(Numbers::Longs(values))) => {
                    return self.add_longs(groups, values, at);
                }
                _ => {}
            }
        }
        for (i, group) in groups.iter().enumerate() {
            let weight = i128::from(count.get(i));
            if !all && !column.counts(i) {
                if let Some(missing) = missing {
                    self.add(*group, missing, weight);
                }
                continue;
            }
            if let (Some(at), Some(numbers)) = (sum, &column.numbers) {
                let value = match numbers {
                    Numbers::Longs(v) => i128::from(v[i]),
                    Numbers::Wide(v) => v[i],
                };
                self.add(*group, at, value.wrapping_mul(weight));
            }
        }
    }

    /// Add groups of another table, as [`Groups::drained`] gives them: keys, rows as the count, all
    /// other numbers as sums.
    pub(crate) fn add_groups(&mut self, updates: &Updates) -> Result<(), ArrowError> {
        let groups = self.groups(updates)?;
        for (i, group) in groups.iter().enumerate() {
            self.add(*group, 0, i128::from(updates.count.get(i)));
            for (at, lane) in updates.sums.iter().enumerate() {
                let value = lane.get(i);
                if value != 0 {
                    self.add(*group, at + 1, value);
                }
            }
        }
        Ok(())
    }

    /// The group of each row; new ones are made. All are noted as touched.
    fn groups(&mut self, updates: &Updates) -> Result<Vec<u32>, ArrowError> {
        let columns: Vec<ArrayRef> =
            self.keys.iter().map(|c| updates.columns[*c].clone()).collect();
        let rows = self.converter.convert_columns(&columns)?;
        let mut groups = Vec::with_capacity(updates.len());
        // Rows of one hour or one campaign often come together.
        let mut last: Option<(&[u8], u32)> = None;
        for row in rows.iter() {
            let bytes = row.data();
            if let Some((_, group)) = last.filter(|(b, _)| *b == bytes) {
                groups.push(group);
                continue;
            }
            let hash = hash_bytes(bytes);
            let found = self.table.find(hash, |g| self.key(*g) == bytes).copied();
            let group = match found {
                Some(group) => self.touch(group),
                None => self.insert(hash, bytes),
            };
            last = Some((bytes, group));
            groups.push(group);
        }
        Ok(groups)
    }

    fn key(&self, group: u32) -> &[u8] {
        key(&self.bytes, &self.ends, group)
    }

    fn insert(&mut self, hash: u64, key_bytes: &[u8]) -> u32 {
        let group = u32::try_from(self.ends.len()).expect("a worker has fewer than 2^32 groups");
        let width = self.stride;
        if (group as usize).is_multiple_of(PAGE_GROUPS) {
            self.bytes.push(vec![]);
            self.pages.push(Vec::with_capacity(PAGE_GROUPS * width));
        }
        let page = group as usize / PAGE_GROUPS;
        self.bytes[page].extend_from_slice(key_bytes);
        let end = u32::try_from(self.bytes[page].len()).expect("a page of keys is below 4 GiB");
        self.ends.push(end);
        self.pages[page].extend(std::iter::repeat_n(0, width));
        self.touched.push(true);
        self.before.push(Before { group, end: self.before_numbers.len() });
        let (bytes, ends) = (&self.bytes, &self.ends);
        self.table.insert_unique(hash, group, |g| hash_bytes(key(bytes, ends, *g)));
        group
    }

    fn touch(&mut self, group: u32) -> u32 {
        if !self.touched[group as usize] {
            self.touched[group as usize] = true;
            for at in 0..self.stride {
                self.before_numbers.push(self.number(group, at));
            }
            self.before.push(Before { group, end: self.before_numbers.len() });
        }
        group
    }

    #[inline]
    fn add(&mut self, group: u32, at: usize, value: i128) {
        if !self.wide.is_empty()
            && let Some(numbers) = self.wide.get_mut(&group)
        {
            numbers[at] = numbers[at].wrapping_add(value);
            return;
        }
        if at >= self.stride {
            self.widen();
        }
        let (page, row) = (group as usize / PAGE_GROUPS, group as usize % PAGE_GROUPS);
        let number = &mut self.pages[page][row * self.stride + at];
        let sum = i128::from(*number).wrapping_add(value);
        match i64::try_from(sum) {
            Ok(sum) => *number = sum,
            Err(_) => {
                let mut numbers: Vec<i128> =
                    (0..self.layout.width).map(|at| self.number(group, at)).collect();
                numbers[at] = sum;
                self.wide.insert(group, numbers);
            }
        }
    }

    /// Make room for rows that are not counted.
    fn widen(&mut self) {
        let (lean, width) = (self.stride, self.layout.width);
        for page in &mut self.pages {
            let mut wider = Vec::with_capacity(PAGE_GROUPS * width);
            for group in page.chunks(lean) {
                wider.extend_from_slice(group);
                wider.extend(std::iter::repeat_n(0, width - lean));
            }
            *page = wider;
        }
        self.stride = width;
    }

    fn number(&self, group: u32, at: usize) -> i128 {
        if !self.wide.is_empty()
            && let Some(numbers) = self.wide.get(&group)
        {
            return numbers[at];
        }
        if at >= self.stride {
            return 0;
        }
        let (page, row) = (group as usize / PAGE_GROUPS, group as usize % PAGE_GROUPS);
        i128::from(self.pages[page][row * self.stride + at])
    }

    /// The next groups that changed, some `rows` rows of them; `None` when all were told.
    pub(crate) fn changes(&mut self, rows: usize) -> Result<Option<Changed>, ArrowError> {
        let width = self.layout.width;
        let mut numbers: Vec<Vec<i128>> = vec![vec![]; width];
        let (mut groups, mut diffs) = (vec![], vec![]);
        let mut gone = vec![];
        while diffs.len() < rows && self.drained < self.before.len() {
            let start = match self.drained {
                0 => 0,
                n => self.before[n - 1].end,
            };
            let Before { group, end } = self.before[self.drained];
            self.drained += 1;
            self.touched[group as usize] = false;
            let old = &self.before_numbers[start..end];
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
        Ok((!diffs.is_empty()).then_some(Changed { keys, diffs, numbers }))
    }

    fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.converter.parser();
        self.converter.convert_rows(groups.iter().map(|g| parser.parse(self.key(*g))))
    }

    /// All groups as changes at `time`, for another table's [`Groups::add_groups`]. None stay.
    pub(crate) fn drained(&mut self, time: Time) -> Result<Updates, ArrowError> {
        let groups: Vec<u32> = (0..self.ends.len() as u32).collect();
        let columns = self.key_columns(&groups)?;
        let lane =
            |at: usize| -> Vec<i128> { groups.iter().map(|g| self.number(*g, at)).collect() };
        let count = Lane::each(lane(0).into_iter().map(|n| n as i64).collect());
        let sums = (1..self.layout.width).map(|at| Lane::each(lane(at))).collect();
        let all = Updates::with_sums(columns, Lane::constant(time, groups.len()), count, sums);
        self.clear();
        Ok(all)
    }

    fn clear(&mut self) {
        self.table.clear();
        self.bytes.clear();
        self.ends.clear();
        self.pages.clear();
        self.wide.clear();
        self.touched.clear();
        self.before.clear();
        self.before_numbers.clear();
        self.drained = 0;
        self.dead = 0;
    }

    fn remove(&mut self, group: u32) {
        let hash = hash_bytes(self.key(group));
        if let Ok(entry) = self.table.find_entry(hash, |g| *g == group) {
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
        let mut live: Vec<u32> = self.table.iter().copied().collect();
        live.sort_unstable();
        let (bytes, ends) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends));
        let (pages, wide) = (std::mem::take(&mut self.pages), std::mem::take(&mut self.wide));
        let width = self.stride;
        self.clear();
        for old in live {
            let key_bytes = key(&bytes, &ends, old);
            let new = self.insert(hash_bytes(key_bytes), key_bytes);
            let (page, row) = (old as usize / PAGE_GROUPS, old as usize % PAGE_GROUPS);
            let (to, at) = (new as usize / PAGE_GROUPS, new as usize % PAGE_GROUPS);
            self.pages[to][at * width..(at + 1) * width]
                .copy_from_slice(&pages[page][row * width..(row + 1) * width]);
            if let Some(numbers) = wide.get(&old) {
                self.wide.insert(new, numbers.clone());
            }
        }
        self.touched.iter_mut().for_each(|t| *t = false);
        self.before.clear();
    }
}

fn key<'a>(bytes: &'a [Vec<u8>], ends: &[u32], group: u32) -> &'a [u8] {
    let (page, at) = (group as usize / PAGE_GROUPS, group as usize % PAGE_GROUPS);
    let start = if at == 0 { 0 } else { ends[group as usize - 1] as usize };
    &bytes[page][start..ends[group as usize] as usize]
}

/// A folded product over 8-byte words.
fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0x243F_6A88_85A3_08D3u64 ^ bytes.len() as u64;
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        let product = u128::from(hash ^ u64::from_le_bytes(padded))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        hash = (product as u64) ^ ((product >> 64) as u64);
    }
    hash
}
