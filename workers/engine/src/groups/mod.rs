//! Groups whose aggregates can be undone: a key, how many rows, and a few exact numbers.
//!
//! A group is a record of 64-bit words: flags, its key where that is words, and its numbers, so that
//! a row touches one place. A number that outgrows 64 bits moves its group's numbers to a side
//! table: totals are exact whatever the values are on the way.

mod keys;
mod pages;
mod told;

use std::collections::HashMap;
use std::ops::Range;

use arrangement::{Budget, Lane, Updates};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;

pub(crate) use self::told::{Changed, Lane64};

pub(crate) use self::keys::hash_bytes;
use self::keys::{Key, WORDS_MAX, Words, are_words, hash_words};
use self::pages::Pages;
use crate::numbers::widen;
use crate::plan::{Aggregate, AggregateKind};

/// Groups per page: a table that grows copies nothing.
const PAGE_GROUPS: usize = 1 << 12;
/// Rows that are looked up and added before the next are: their groups stay close at hand.
const BLOCK_ROWS: usize = 1 << 10;
/// The flag of a group that changed since changes were last told. Below it, a bit for each column
/// of the key that is null.
const TOUCHED: i64 = 1 << 62;

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

/// Keys of groups.
enum Keys {
    /// In the group's record, behind its flags.
    Words(Vec<DataType>),
    /// Encoded, one behind the other, page by page; where each ends.
    Rows { converter: RowConverter, bytes: Vec<Vec<u8>>, ends: Vec<u32> },
}

/// What a group was before a time.
struct Before {
    group: u32,
    /// One past its last number in `Groups::before_numbers`; without any, the group is new.
    end: usize,
}

/// A table of groups.
pub(crate) struct Groups {
    layout: Layout,
    columns: Vec<usize>,
    keys: Keys,
    /// Groups, each with the half of its key's hash that names its place.
    table: HashTable<(u32, u32)>,
    /// Groups there ever were since the pages were made.
    made: usize,
    /// Records, `stride` words a group.
    pages: Pages,
    /// Words of a record before its numbers.
    base: usize,
    /// Words of a record: with the layout's lean width, or its whole.
    stride: usize,
    /// Numbers of groups with one beyond 64 bits.
    wide: HashMap<u32, Vec<i128>>,
    /// There were no groups before the time at hand: all are new, and none is noted.
    loading: bool,
    /// Groups that changed since the last [`Groups::changes`], and what they were.
    before: Vec<Before>,
    before_numbers: Vec<i128>,
    drained: usize,
    /// Groups that are not in the table any more, and still in the pages.
    dead: usize,
}

impl Groups {
    /// No groups; keys are the columns `columns` of what comes, of these types.
    pub(crate) fn new(
        layout: Layout,
        columns: &[usize],
        types: &[DataType],
        budget: &Budget,
    ) -> Result<Groups, ArrowError> {
        let fields = types.iter().map(|t| SortField::new(t.clone()));
        let (keys, base) = match are_words(types) {
            true => (Keys::Words(types.to_vec()), 1 + types.len()),
            false => {
                let converter = RowConverter::new(fields.collect())?;
                (Keys::Rows { converter, bytes: vec![], ends: vec![] }, 1)
            }
        };
        Ok(Groups {
            pages: Pages::new(PAGE_GROUPS * (base + layout.lean), budget),
            stride: base + layout.lean,
            base,
            layout,
            columns: columns.to_vec(),
            keys,
            table: HashTable::new(),
            made: 0,
            wide: HashMap::new(),
            loading: true,
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
        let layout = self.layout.clone();
        let columns: Vec<Column<'_>> =
            layout.aggregates.iter().map(|a| Column::of(a, updates)).collect();
        let plain = plain(&layout, &columns, &updates.count);
        self.each_block(updates, |own, groups, block| {
            match &plain {
                Some(plain) if own.wide.is_empty() => own.add_plain(groups, block, plain),
                _ => own.add_each(groups, block, &updates.count, &columns, &layout),
            };
        })
    }

    /// Every row counts once, and so does every value.
    fn add_plain(&mut self, groups: &[u32], block: Range<usize>, columns: &[(usize, &[i64])]) {
        for (group, row) in groups.iter().zip(block) {
            if !self.wide.is_empty() {
                self.add(*group, 0, 1);
                columns.iter().for_each(|(at, v)| self.add(*group, *at, i128::from(v[row])));
                continue;
            }
            let start = self.start(*group);
            let record = self.pages.page_mut(*group as usize / PAGE_GROUPS);
            let record = &mut record[start + self.base..start + self.stride];
            record[0] += 1;
            let mut over = false;
            for (at, values) in columns {
                let (sum, overflown) = record[*at].overflowing_add(values[row]);
                record[*at] = sum;
                over |= overflown;
            }
            if over {
                // As if the row had not been added; then one by one.
                record[0] -= 1;
                for (at, values) in columns {
                    record[*at] = record[*at].wrapping_sub(values[row]);
                }
                self.add(*group, 0, 1);
                columns.iter().for_each(|(at, v)| self.add(*group, *at, i128::from(v[row])));
            }
        }
    }

    fn add_each(
        &mut self,
        groups: &[u32],
        block: Range<usize>,
        count: &Lane<i64>,
        columns: &[Column<'_>],
        layout: &Layout,
    ) {
        for (group, row) in groups.iter().zip(block) {
            let weight = i128::from(count.get(row));
            self.add(*group, 0, weight);
            for (a, column) in columns.iter().enumerate() {
                if !column.counts(row) {
                    if let Some(missing) = layout.missing[a] {
                        self.add(*group, missing, weight);
                    }
                } else if let (Some(at), Some(numbers)) = (layout.sums[a], &column.numbers) {
                    let value = match numbers {
                        Numbers::Longs(v) => i128::from(v[row]),
                        Numbers::Wide(v) => v[row],
                    };
                    self.add(*group, at, value.wrapping_mul(weight));
                }
            }
        }
    }

    /// Add groups of another table, as [`Groups::drained`] gives them: keys, rows as the count, all
    /// other numbers as sums.
    pub(crate) fn add_groups(&mut self, updates: &Updates) -> Result<(), ArrowError> {
        self.each_block(updates, |own, groups, block| {
            for (group, row) in groups.iter().zip(block) {
                own.add(*group, 0, i128::from(updates.count.get(row)));
                for (at, lane) in updates.sums.iter().enumerate() {
                    let value = lane.get(row);
                    if value != 0 {
                        own.add(*group, at + 1, value);
                    }
                }
            }
        })
    }

    /// Tell the groups of the rows of `updates`, some rows at a time; new ones are made. All are
    /// noted as touched.
    fn each_block(
        &mut self,
        updates: &Updates,
        mut add: impl FnMut(&mut Groups, &[u32], Range<usize>),
    ) -> Result<(), ArrowError> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|c| updates.columns[*c].clone()).collect();
        let rows = match &self.keys {
            Keys::Words(_) => None,
            Keys::Rows { converter, .. } => Some(converter.convert_columns(&columns)?),
        };
        let words: Vec<Words<'_>> =
            if rows.is_none() { columns.iter().map(Words::of).collect() } else { vec![] };
        let mut groups = Vec::with_capacity(BLOCK_ROWS);
        for start in (0..updates.len()).step_by(BLOCK_ROWS) {
            let block = start..updates.len().min(start + BLOCK_ROWS);
            groups.clear();
            match &rows {
                None => self.find_words(&words, block.clone(), &mut groups),
                Some(rows) => {
                    groups.extend(block.clone().map(|i| self.find_row(rows.row(i).data())));
                }
            }
            add(self, &groups, block);
        }
        Ok(())
    }

    fn find_words(&mut self, words: &[Words<'_>], block: Range<usize>, groups: &mut Vec<u32>) {
        // Rows of one hour or one campaign often come together.
        let mut last: Option<(i64, Key, u32)> = None;
        for row in block {
            let (mut nulls, mut key) = (0, [0; WORDS_MAX]);
            for (k, column) in words.iter().enumerate() {
                match column.get(row) {
                    Some(word) => key[k] = word,
                    None => nulls |= 1 << k,
                }
            }
            if let Some((_, _, group)) = last.filter(|(n, k, _)| *n == nulls && *k == key) {
                groups.push(group);
                continue;
            }
            let own = &key[..words.len()];
            let hash = half(hash_words(nulls, own));
            let same = |(g, h): &(u32, u32)| {
                if *h != hash {
                    return false;
                }
                let record = self.record(*g);
                // Word by word: there are few.
                let mut words = own.iter().zip(&record[1..]);
                record[0] & !TOUCHED == nulls && words.all(|(a, b)| a == b)
            };
            let group = match self.table.find(whole(hash), same).copied() {
                Some((group, _)) => self.touch(group),
                None => {
                    let group = self.make(nulls);
                    let start = self.start(group) + 1;
                    self.pages.page_mut(group as usize / PAGE_GROUPS)[start..start + own.len()]
                        .copy_from_slice(own);
                    self.enter(hash, group);
                    group
                }
            };
            last = Some((nulls, key, group));
            groups.push(group);
        }
    }

    fn find_row(&mut self, bytes: &[u8]) -> u32 {
        let hash = half(hash_bytes(bytes));
        let same = |(g, h): &(u32, u32)| *h == hash && self.key_bytes(*g) == bytes;
        match self.table.find(whole(hash), same).copied() {
            Some((group, _)) => self.touch(group),
            None => {
                let group = self.make(0);
                self.keep_bytes(bytes);
                self.enter(hash, group);
                group
            }
        }
    }

    /// A new group's record.
    fn make(&mut self, nulls: i64) -> u32 {
        let group = u32::try_from(self.made).expect("a worker has fewer than 2^32 groups");
        self.made += 1;
        if (group as usize).is_multiple_of(PAGE_GROUPS) {
            self.pages.add();
        }
        let start = self.start(group);
        self.pages.page_mut(group as usize / PAGE_GROUPS)[start] = nulls | TOUCHED;
        if !self.loading {
            self.before.push(Before { group, end: self.before_numbers.len() });
        }
        group
    }

    fn enter(&mut self, hash: u32, group: u32) {
        self.table.insert_unique(whole(hash), (group, hash), |(_, h)| whole(*h));
    }

    fn hash(&self, group: u32) -> u32 {
        half(match &self.keys {
            Keys::Words(_) => {
                let record = self.record(group);
                hash_words(record[0] & !TOUCHED, &record[1..self.base])
            }
            Keys::Rows { .. } => hash_bytes(self.key_bytes(group)),
        })
    }

    #[inline]
    fn start(&self, group: u32) -> usize {
        group as usize % PAGE_GROUPS * self.stride
    }

    #[inline]
    fn record(&self, group: u32) -> &[i64] {
        let start = self.start(group);
        &self.pages.page(group as usize / PAGE_GROUPS)[start..start + self.stride]
    }

    /// The encoded key of a group; nothing if keys are words.
    fn key_bytes(&self, group: u32) -> &[u8] {
        match &self.keys {
            Keys::Words(_) => &[],
            Keys::Rows { bytes, ends, .. } => key(bytes, ends, group),
        }
    }

    /// Keep the key of the last group.
    fn keep_bytes(&mut self, key: &[u8]) {
        let Keys::Rows { bytes, ends, .. } = &mut self.keys else { return };
        if ends.len().is_multiple_of(PAGE_GROUPS) {
            bytes.push(vec![]);
        }
        let page = &mut bytes[ends.len() / PAGE_GROUPS];
        page.extend_from_slice(key);
        ends.push(u32::try_from(page.len()).expect("a page of keys is below 4 GiB"));
    }

    #[inline]
    fn touch(&mut self, group: u32) -> u32 {
        if self.loading || self.record(group)[0] & TOUCHED != 0 {
            return group;
        }
        let start = self.start(group);
        self.pages.page_mut(group as usize / PAGE_GROUPS)[start] |= TOUCHED;
        for at in 0..self.stride - self.base {
            self.before_numbers.push(self.number(group, at));
        }
        self.before.push(Before { group, end: self.before_numbers.len() });
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
        if self.base + at >= self.stride {
            self.widen();
        }
        let start = self.start(group) + self.base;
        let number = &mut self.pages.page_mut(group as usize / PAGE_GROUPS)[start + at];
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
        let (lean, width) = (self.stride, self.base + self.layout.width);
        let old = self.pages.take();
        self.pages.clear(PAGE_GROUPS * width);
        for p in 0..old.len() {
            self.pages.add();
            let records = old.page(p).chunks(lean).zip(self.pages.page_mut(p).chunks_mut(width));
            records.for_each(|(was, is)| is[..lean].copy_from_slice(was));
        }
        self.stride = width;
    }

    #[inline]
    fn number(&self, group: u32, at: usize) -> i128 {
        if !self.wide.is_empty()
            && let Some(numbers) = self.wide.get(&group)
        {
            return numbers[at];
        }
        self.record(group).get(self.base + at).map_or(0, |n| i128::from(*n))
    }
}

/// The half of a hash that is kept.
fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A hash of all bits from the half that is kept: growing the table reads no keys.
fn whole(half: u32) -> u64 {
    u64::from(half).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Where each sum's values go, if every row counts once and so does every value.
fn plain<'a>(
    layout: &Layout,
    columns: &[Column<'a>],
    count: &Lane<i64>,
) -> Option<Vec<(usize, &'a [i64])>> {
    if !matches!(count, Lane::Constant { value: 1, .. }) {
        return None;
    }
    let mut sums = vec![];
    for (column, at) in columns.iter().zip(&layout.sums) {
        if column.nulls.is_some() || column.filter.is_some() {
            return None;
        }
        match (at, &column.numbers) {
            (None, _) => {}
            (Some(at), Some(Numbers::Longs(values))) => sums.push((*at, *values)),
            (Some(_), _) => return None,
        }
    }
    Some(sums)
}

/// The encoded key of a group among pages of them.
fn key<'a>(bytes: &'a [Vec<u8>], ends: &[u32], group: u32) -> &'a [u8] {
    let (page, at) = (group as usize / PAGE_GROUPS, group as usize % PAGE_GROUPS);
    let start = if at == 0 { 0 } else { ends[group as usize - 1] as usize };
    &bytes[page][start..ends[group as usize] as usize]
}
