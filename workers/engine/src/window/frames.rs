//! Which rows are in each row's frame.

use std::collections::HashMap;
use std::ops::Range;

use arrow::error::ArrowError;

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

/// The frame of each wanted row.
pub(crate) enum Frames {
    /// Neighbours.
    Ranges(Vec<Range<usize>>),
    /// Rows of the same sub-partition: one list behind the other, and where each ends.
    Lists { rows: Vec<usize>, ends: Vec<usize> },
}

impl Frames {
    /// One per wanted row.
    pub(crate) fn len(&self) -> usize {
        match self {
            Frames::Ranges(ranges) => ranges.len(),
            Frames::Lists { ends, .. } => ends.len(),
        }
    }

    /// Call `f` with each frame's rows.
    pub(crate) fn each(&self, mut f: impl FnMut(&mut dyn Iterator<Item = usize>)) {
        match self {
            Frames::Ranges(ranges) => ranges.iter().for_each(|r| f(&mut r.clone())),
            Frames::Lists { rows, ends } => {
                let mut start = 0;
                for end in ends {
                    f(&mut rows[start..*end].iter().copied());
                    start = *end;
                }
            }
        }
    }
}

impl Sight<'_> {
    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// The frame of each wanted row; among rows of its own sub-partition, if `sub` is the column
    /// that numbers them.
    pub(crate) fn frames(&self, frame: Frame, sub: Option<usize>) -> Result<Frames, ArrowError> {
        match (sub, frame.units) {
            (Some(sub), _) => Ok(self.among(frame, &self.list.subs(sub, self.range.clone()))),
            (None, FrameUnits::Rows) => Ok(Frames::Ranges(self.counted(frame))),
            (None, FrameUnits::Range) if self.shape.whole => {
                Ok(Frames::Ranges(self.measured(frame)))
            }
            (None, FrameUnits::Range) => Ok(Frames::Ranges(self.peers(frame)?)),
        }
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

    /// Frames by distance among the rows of equal number.
    fn among(&self, frame: Frame, subs: &[u32]) -> Frames {
        let (mut rows, mut ends) = (vec![], Vec::with_capacity(self.wanted.len()));
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
        // For a few rows it is cheaper to look at all than to sort them.
        if self.wanted.len() <= 4 {
            for i in self.wanted.clone() {
                let (low, high) = bounds(i);
                let from = self.ranks.partition_point(|r| *r < low);
                let to = self.ranks.partition_point(|r| *r <= high).max(from);
                rows.extend((from..to).filter(|j| subs[*j] == subs[i]));
                ends.push(rows.len());
            }
            return Frames::Lists { rows, ends };
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
                rows.extend_from_slice(&all[from..to]);
            }
            ends.push(rows.len());
        }
        Frames::Lists { rows, ends }
    }
}
