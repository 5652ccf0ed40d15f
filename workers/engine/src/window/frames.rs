//! Which rows are in each row's frame.

use std::ops::Range;

use arrow::error::ArrowError;

use super::Shape;
use super::list::List;
use super::order::{Line, Rank, RowCompare};
use super::reach::{Group, Groups, Sees, bit, sight};
use crate::plan::{Bound, Frame, FrameUnits};

/// So few rows' frames among sub-partitions are looked up one by one.
const FEW: usize = 8;

/// The rows that some rows see, and which of them are to be computed. Positions in frames count
/// from the start of the sight.
pub(crate) struct Sight<'a> {
    pub shape: &'a Shape,
    pub list: List<'a>,
    pub partition: Range<usize>,
    /// Of the list.
    pub range: Range<usize>,
    /// Of the sight.
    pub wanted: Range<usize>,
    /// Where the rows of the sight stand, if the order has distances.
    line: Line,
}

/// Rows that frames are made of.
pub(crate) enum View {
    /// Neighbours in the list.
    Span(Range<usize>),
    /// Neighbours in the list, in another order: rows counted from the first.
    Permuted(Range<usize>, Vec<u32>),
    /// Rows one by one: chunk, row.
    Picked(Vec<(usize, usize)>),
}

/// The frame of each wanted row: a range of the rows of a view.
#[derive(Default)]
pub(crate) struct Frames {
    /// Which of the views they count in.
    pub view: usize,
    pub ranges: Vec<Range<usize>>,
}

impl<'a> Sight<'a> {
    /// What the rows at `wanted` (of the list) see in `groups`.
    pub(crate) fn new(
        shape: &'a Shape,
        list: List<'a>,
        partition: &Range<usize>,
        wanted: &Range<usize>,
        groups: Groups,
    ) -> Result<Sight<'a>, ArrowError> {
        let many = wanted.len() > FEW;
        let own = shape.groups.iter().enumerate().filter(|(g, _)| groups & bit(*g) != 0);
        let own = own.map(|(_, g)| g);
        // Many rows' frames among sub-partitions are found by sorting the rows of the sight.
        let plain = |g: &Group| Group { sub: g.sub.filter(|_| !many), ..*g };
        let seen: Vec<Group> = own.map(plain).collect();
        let range = sight(shape, list, partition, wanted, seen.iter())?;
        let line =
            match shape.whole && seen.iter().any(|g| g.sub.is_none() && g.measured().is_some()) {
                true => list.line(shape, range.clone())?,
                false => Line::Short(vec![]),
            };
        let wanted = wanted.start - range.start..wanted.end - range.start;
        Ok(Sight { shape, list, partition: partition.clone(), range, wanted, line })
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// The frames of each wanted row, one set per group (empty for a group that is not of
    /// `groups`, or has no frame). All frames of neighbours share the first view.
    pub(crate) fn frames(&self, groups: Groups) -> Result<(Vec<View>, Vec<Frames>), ArrowError> {
        let mut views = vec![View::Span(0..0)];
        let mut all: Vec<Frames> = vec![];
        for (g, group) in self.shape.groups.iter().enumerate() {
            let frame = match group.sees {
                Sees::Frame(frame) if groups & bit(g) != 0 => frame,
                _ => {
                    all.push(Frames::default());
                    continue;
                }
            };
            let (view, ranges) = match (group.sub, frame.units) {
                (Some(sub), _) => {
                    let (view, ranges) = self.among(frame, sub)?;
                    views.push(view);
                    (views.len() - 1, ranges)
                }
                (None, FrameUnits::Rows) => (0, self.counted(frame)),
                (None, FrameUnits::Range) if self.shape.whole => {
                    let ranges = match &self.line {
                        Line::Short(line) => measured(line, &self.wanted, frame),
                        Line::Long(line) => measured(line, &self.wanted, frame),
                    };
                    (0, ranges)
                }
                (None, FrameUnits::Range) => (0, self.peers(frame)?),
            };
            all.push(Frames { view, ranges });
        }
        // No more rows than some frame holds.
        let seen = all.iter().filter(|f| f.view == 0).flat_map(|f| &f.ranges);
        let seen = seen.filter(|r| !r.is_empty());
        let (start, end) = seen.fold((usize::MAX, 0), |(s, e), r| (s.min(r.start), e.max(r.end)));
        let start = start.min(end);
        for range in all.iter_mut().filter(|f| f.view == 0).flat_map(|f| &mut f.ranges) {
            let from = range.start.clamp(start, end);
            *range = from - start..range.end.clamp(from, end) - start;
        }
        views[0] = View::Span(self.range.start + start..self.range.start + end);
        Ok((views, all))
    }

    fn counted(&self, frame: Frame) -> Vec<Range<usize>> {
        let rows = self.len();
        let end = |at: usize, by: i64| {
            let p = (at as i64).saturating_add(by).clamp(0, rows as i64);
            usize::try_from(p).unwrap_or(0)
        };
        let one = |i: usize| {
            let start = match frame.start {
                Bound::Unbounded => 0,
                Bound::Offset(o) => end(i, o),
            };
            let stop = match frame.end {
                Bound::Unbounded => rows,
                Bound::Offset(o) => end(i, o.saturating_add(1)),
            };
            start..stop.max(start)
        };
        self.wanted.clone().map(one).collect()
    }

    /// Frames that begin or end with the rows that the order does not tell apart.
    fn peers(&self, frame: Frame) -> Result<Vec<Range<usize>>, ArrowError> {
        let rows = self.len();
        let Some(first) = self.list.first() else { return Ok(vec![]) };
        let mut columns = first.columns.clone();
        for order in &self.shape.order {
            let t = columns[order.column].data_type().clone();
            columns[order.column] = self.list.flat(order.column, self.range.clone(), &t)?;
        }
        let compare = RowCompare::new(&columns, &columns, &self.shape.by_order)?;
        let mut peers = Vec::with_capacity(rows);
        let mut start = 0;
        while start < rows {
            let mut end = start + 1;
            while end < rows && compare.compare(end - 1, end).is_eq() {
                end += 1;
            }
            peers.extend(std::iter::repeat_n(start..end, end - start));
            start = end;
        }
        let one = |i: usize| {
            let from = if frame.start == Bound::Unbounded { 0 } else { peers[i].start };
            let to = if frame.end == Bound::Unbounded { rows } else { peers[i].end };
            from..to
        };
        Ok(self.wanted.clone().map(one).collect())
    }

    /// Frames by distance among the rows whose number in the column `sub` is the same.
    fn among(&self, frame: Frame, sub: usize) -> Result<(View, Vec<Range<usize>>), ArrowError> {
        if self.wanted.len() <= FEW {
            return self.looked_up(frame, sub);
        }
        let subs = self.list.subs(sub, self.range.clone());
        // Rows of one sub-partition side by side, in their order.
        let mut order: Vec<u64> =
            subs.iter().enumerate().map(|(i, s)| u64::from(*s) << 32 | i as u64).collect();
        order.sort_unstable();
        let order: Vec<u32> = order.into_iter().map(|o| o as u32).collect();
        let ranges = match &self.line {
            Line::Short(line) => sorted(line, &subs, &order, &self.wanted, frame),
            Line::Long(line) => sorted(line, &subs, &order, &self.wanted, frame),
        };
        Ok((View::Permuted(self.range.clone(), order), ranges))
    }

    fn looked_up(&self, frame: Frame, sub: usize) -> Result<(View, Vec<Range<usize>>), ArrowError> {
        let (mut rows, mut ranges) = (vec![], Vec::with_capacity(self.wanted.len()));
        for i in self.wanted.clone() {
            let at = self.range.start + i;
            let (chunk, row) = self.list.locate(at);
            let columns = &self.list.chunk(chunk).columns;
            let rank = self.shape.ranks(columns)?.get(row);
            let number = super::order::subs(&columns[sub])[row];
            let bound = |b: Bound, end: usize, after: bool| match b {
                Bound::Unbounded => Ok(end),
                Bound::Offset(o) => {
                    let rank = rank.moved(o);
                    let within = self.partition.clone();
                    self.list.position_of_rank(self.shape, within, Some(at), rank, after)
                }
            };
            let from = bound(frame.start, self.partition.start, false)?;
            let to = bound(frame.end, self.partition.end, true)?.max(from);
            let start = rows.len();
            self.list.with_sub(sub, from..to, number, |chunk, row, _| rows.push((chunk, row)));
            ranges.push(start..rows.len());
        }
        Ok((View::Picked(rows), ranges))
    }
}

/// Frames by distance: both ends only move forward.
fn measured<R: Rank>(line: &[R], wanted: &Range<usize>, frame: Frame) -> Vec<Range<usize>> {
    let (mut start, mut end) = (0, 0);
    let mut ranges = Vec::with_capacity(wanted.len());
    for rank in &line[wanted.clone()] {
        ends(line, *rank, frame, &mut start, &mut end, |r| *r);
        ranges.push(start..end.max(start));
    }
    ranges
}

/// Move the ends of a frame forward to those of the row at `rank`.
#[inline]
fn ends<T, R: Rank>(
    rows: &[T],
    rank: R,
    frame: Frame,
    start: &mut usize,
    end: &mut usize,
    at: impl Fn(&T) -> R,
) {
    if let Bound::Offset(o) = frame.start {
        let bound = rank.moved(o);
        while *start < rows.len() && at(&rows[*start]) < bound {
            *start += 1;
        }
    }
    match frame.end {
        Bound::Unbounded => *end = rows.len(),
        Bound::Offset(o) => {
            let bound = rank.moved(o);
            while *end < rows.len() && at(&rows[*end]) <= bound {
                *end += 1;
            }
        }
    }
}

/// Frames by distance among the rows of equal number: ranges of `order`, which has those side by
/// side.
fn sorted<R: Rank>(
    line: &[R],
    subs: &[u32],
    order: &[u32],
    wanted: &Range<usize>,
    frame: Frame,
) -> Vec<Range<usize>> {
    let mut ranges = vec![0..0; wanted.len()];
    let mut first = 0;
    for alike in order.chunk_by(|a, b| subs[*a as usize] == subs[*b as usize]) {
        let (mut start, mut end) = (0, 0);
        for i in alike.iter().map(|i| *i as usize).filter(|i| wanted.contains(i)) {
            ends(alike, line[i], frame, &mut start, &mut end, |j| line[*j as usize]);
            ranges[i - wanted.start] = first + start..first + end.max(start);
        }
        first += alike.len();
    }
    ranges
}
