//! Which rows are in each row's frame.

use std::ops::Range;

use arrow::error::ArrowError;
use hashbrown::HashMap;

use super::Shape;
use super::list::List;
use super::order::{RowCompare, moved};
use crate::plan::{Bound, Frame, FrameUnits};

/// The rows that some rows see, and which of them are to be computed. Positions in frames count
/// from the start of the sight.
pub(crate) struct Sight<'a> {
    pub shape: &'a Shape,
    pub list: &'a List,
    /// Of the list.
    pub range: Range<usize>,
    /// Of the sight.
    pub wanted: Range<usize>,
    /// Ranks of all rows of the sight; none if the order has no distances.
    pub ranks: Vec<i128>,
}

/// Rows that frames are made of.
pub(crate) enum View {
    /// Neighbours in the list.
    Span(Range<usize>),
    /// Rows of the list, one by one.
    Picked(Vec<usize>),
}

/// The frame of each wanted row: a range of the rows of a view.
pub(crate) struct Frames {
    /// Which of the views they count in.
    pub view: usize,
    pub ranges: Vec<Range<usize>>,
}

impl Sight<'_> {
    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// The frames of each wanted row, one set per (frame, sub-partitions): among the rows of its
    /// own sub-partition, if there is a column that numbers them. All frames of neighbours share
    /// the first view.
    pub(crate) fn frames(
        &self,
        wanted: &[(Frame, Option<usize>)],
    ) -> Result<(Vec<View>, Vec<Frames>), ArrowError> {
        let mut views = vec![View::Span(0..0)];
        let mut all = vec![];
        for (frame, sub) in wanted {
            let (view, ranges) = match (sub, frame.units) {
                (Some(sub), _) => {
                    let subs = self.list.subs(*sub, self.range.clone());
                    let (rows, ranges) = self.among(*frame, &subs);
                    views.push(View::Picked(rows));
                    (views.len() - 1, ranges)
                }
                (None, FrameUnits::Rows) => (0, self.counted(*frame)),
                (None, FrameUnits::Range) if self.shape.whole => (0, self.measured(*frame)),
                (None, FrameUnits::Range) => (0, self.peers(*frame)?),
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

    /// Frames by distance: both ends only move forward.
    fn measured(&self, frame: Frame) -> Vec<Range<usize>> {
        let ranks = &self.ranks;
        let (mut start, mut end) = (0, 0);
        let mut ranges = Vec::with_capacity(self.wanted.len());
        for i in self.wanted.clone() {
            if let Bound::Offset(o) = frame.start {
                let bound = moved(ranks[i], o);
                while start < ranks.len() && ranks[start] < bound {
                    start += 1;
                }
            }
            match frame.end {
                Bound::Unbounded => end = ranks.len(),
                Bound::Offset(o) => {
                    let bound = moved(ranks[i], o);
                    while end < ranks.len() && ranks[end] <= bound {
                        end += 1;
                    }
                }
            }
            ranges.push(start..end.max(start));
        }
        ranges
    }

    /// Frames that begin or end with the rows that the order does not tell apart.
    fn peers(&self, frame: Frame) -> Result<Vec<Range<usize>>, ArrowError> {
        let rows = self.len();
        let Some(first) = self.list.chunks().first() else { return Ok(vec![]) };
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

    /// Frames by distance among the rows of equal number: those rows of the list, one frame's
    /// behind the other's.
    fn among(&self, frame: Frame, subs: &[u32]) -> (Vec<usize>, Vec<Range<usize>>) {
        let (mut rows, mut ranges) = (vec![], Vec::with_capacity(self.wanted.len()));
        let first = self.range.start;
        let bounds = |i: usize| {
            let low = match frame.start {
                Bound::Unbounded => i128::MIN,
                Bound::Offset(o) => moved(self.ranks[i], o),
            };
            let high = match frame.end {
                Bound::Unbounded => i128::MAX,
                Bound::Offset(o) => moved(self.ranks[i], o),
            };
            (low, high)
        };
        let mut start = 0;
        // For a few rows it is cheaper to look at all than to sort them.
        if self.wanted.len() <= 4 {
            for i in self.wanted.clone() {
                let (low, high) = bounds(i);
                let from = self.ranks.partition_point(|r| *r < low);
                let to = self.ranks.partition_point(|r| *r <= high).max(from);
                let alike = (from..to).filter(|j| subs[*j] == subs[i]);
                rows.extend(alike.map(|j| first + j));
                ranges.push(start..rows.len());
                start = rows.len();
            }
            return (rows, ranges);
        }
        let mut members: HashMap<u32, Vec<usize>> = HashMap::new();
        for (i, sub) in subs.iter().enumerate() {
            members.entry(*sub).or_default().push(i);
        }
        for i in self.wanted.clone() {
            let (low, high) = bounds(i);
            if let Some(all) = members.get(&subs[i]) {
                let from = all.partition_point(|j| self.ranks[*j] < low);
                let to = all.partition_point(|j| self.ranks[*j] <= high).max(from);
                rows.extend(all[from..to].iter().map(|j| first + j));
            }
            ranges.push(start..rows.len());
            start = rows.len();
        }
        (rows, ranges)
    }
}
