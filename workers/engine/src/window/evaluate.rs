//! The functions of a window, over a flat run of rows.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Array, StringArray, UInt32Array, make_comparator, new_empty_array,
};
use arrow::compute::{SortOptions, cast, interleave, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use datafusion_common::ScalarValue;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use schemas::normal::normalize;

use super::Shape;
use super::reach::whole_values;
use super::series::Series;
use crate::numbers::{mean, narrow, widen};
use crate::plan::{Bound, Frame, FrameUnits, OrderColumn, WindowFunction, WindowKind};

pub(crate) struct Evaluator {
    functions: Vec<WindowFunction>,
    order: Vec<OrderColumn>,
    /// An empty column of each input type.
    types: Vec<ArrayRef>,
}

/// A flat run: all input columns of `sight`, of which `wanted` are to be computed (both count from
/// the start of the sight).
struct Flat {
    columns: Vec<ArrayRef>,
    /// Rows of the partition before the run.
    before: usize,
    rows: usize,
    wanted: Range<usize>,
}

impl Evaluator {
    pub(crate) fn new(
        input: &SchemaRef,
        order: &[OrderColumn],
        functions: &[WindowFunction],
    ) -> Self {
        let types = input.fields().iter().map(|f| new_empty_array(f.data_type()));
        Evaluator { functions: functions.to_vec(), order: order.to_vec(), types: types.collect() }
    }

    /// The output rows at positions `seen`: input columns, function columns, reason column.
    pub(crate) fn rows(
        &self,
        shape: &Shape,
        series: &Series,
        seen: Range<usize>,
        visited: &mut u64,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let sight = shape.reach.sight(shape, series, &self.types, &seen)?;
        *visited += sight.len() as u64;
        let flat = Flat {
            columns: series.flat(shape, &self.types, sight.clone())?,
            before: sight.start,
            rows: sight.len(),
            wanted: seen.start - sight.start..seen.end - sight.start,
        };
        let n = flat.wanted.len();
        let cut = |c: &ArrayRef| c.slice(flat.wanted.start.min(c.len()), n);
        let mut columns: Vec<ArrayRef> = flat.columns.iter().map(cut).collect();
        let mut reasons: Vec<Option<String>> = vec![None; n];
        let mut frames: Vec<(Frame, Vec<Range<usize>>)> = vec![];
        for function in &self.functions {
            if !frames.iter().any(|(f, _)| *f == function.frame) {
                frames.push((function.frame, self.frames(&flat, function.frame)?));
            }
            let ranges = frames.iter().find(|(f, _)| *f == function.frame);
            let ranges = ranges.map_or(&[][..], |(_, r)| r.as_slice());
            let (column, outside) = self.function(function, &flat, ranges)?;
            for row in outside {
                reasons[row] = Some(format!(
                    "{} is out of the range of {}: cast its argument to a wider type",
                    function.name, function.output
                ));
            }
            let column = normalize(&column)?;
            columns.push(match column.data_type() == &function.output {
                true => column,
                false => cast(&column, &function.output)?,
            });
        }
        columns.push(Arc::new(StringArray::from(reasons)));
        Ok(columns)
    }

    /// The frame of each wanted row, as positions of the flat run.
    fn frames(&self, flat: &Flat, frame: Frame) -> Result<Vec<Range<usize>>, ArrowError> {
        match frame.units {
            FrameUnits::Rows => {
                let end = |at: usize, by: i64| {
                    let p = (at as i64).saturating_add(by).clamp(0, flat.rows as i64);
                    usize::try_from(p).unwrap_or(0)
                };
                let one = |i: usize| {
                    let start = match frame.start {
                        Bound::Unbounded => 0,
                        Bound::Offset(o) => end(i, o),
                    };
                    let stop = match frame.end {
                        Bound::Unbounded => flat.rows,
                        Bound::Offset(o) => end(i, o.saturating_add(1)),
                    };
                    start..stop.max(start)
                };
                Ok(flat.wanted.clone().map(one).collect())
            }
            FrameUnits::Range => self.range_frames(flat, frame),
        }
    }

    fn range_frames(&self, flat: &Flat, frame: Frame) -> Result<Vec<Range<usize>>, ArrowError> {
        let peers = self.peers(flat)?;
        let zero = |b: Bound| matches!(b, Bound::Unbounded | Bound::Offset(0));
        let values = match zero(frame.start) && zero(frame.end) {
            true => None,
            false => Some(self.order_values(flat)?),
        };
        let (mut start, mut end) = (0, 0);
        let mut ranges = Vec::with_capacity(flat.wanted.len());
        for i in flat.wanted.clone() {
            let value = values.as_ref().map(|v| v[i]);
            let from = match (frame.start, &values, value) {
                (Bound::Unbounded, ..) => 0,
                (Bound::Offset(o), Some(values), Some(Some(v))) if o != 0 => {
                    while start < flat.rows
                        && below(values[start], v.saturating_add(o), start < i, false)
                    {
                        start += 1;
                    }
                    start
                }
                _ => peers[i].start,
            };
            let to = match (frame.end, &values, value) {
                (Bound::Unbounded, ..) => flat.rows,
                (Bound::Offset(o), Some(values), Some(Some(v))) if o != 0 => {
                    end = end.max(from);
                    while end < flat.rows && below(values[end], v.saturating_add(o), end < i, true)
                    {
                        end += 1;
                    }
                    end
                }
                _ => peers[i].end,
            };
            ranges.push(from..to.max(from));
        }
        Ok(ranges)
    }

    /// Values of the one order column in window direction; null is `None`.
    fn order_values(&self, flat: &Flat) -> Result<Vec<Option<i64>>, ArrowError> {
        let Some(order) = self.order.first() else { return Ok(vec![None; flat.rows]) };
        let column = &flat.columns[order.column];
        let values = whole_values(column)?;
        let signed = |v: i64| if order.descending { v.saturating_neg() } else { v };
        let one = |(i, v): (usize, i64)| column.is_valid(i).then(|| signed(v));
        Ok(values.into_iter().enumerate().map(one).collect())
    }

    /// The rows that the order does not tell apart from each row.
    fn peers(&self, flat: &Flat) -> Result<Vec<Range<usize>>, ArrowError> {
        let mut comparators = vec![];
        for order in &self.order {
            let column = flat.columns[order.column].as_ref();
            comparators.push(make_comparator(column, column, SortOptions::default())?);
        }
        let mut peers = Vec::with_capacity(flat.rows);
        let mut start = 0;
        while start < flat.rows {
            let mut end = start + 1;
            while end < flat.rows && comparators.iter().all(|c| c(end - 1, end) == Ordering::Equal)
            {
                end += 1;
            }
            peers.extend(std::iter::repeat_n(start..end, end - start));
            start = end;
        }
        Ok(peers)
    }

    fn function(
        &self,
        function: &WindowFunction,
        flat: &Flat,
        ranges: &[Range<usize>],
    ) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
        let arg = function.args.first().map(|c| &flat.columns[*c]);
        match &function.kind {
            WindowKind::Count => {
                let n = counts(arg, flat.rows);
                let values = ranges.iter().map(|r| Some(i128::from(n[r.end] - n[r.start])));
                Ok(narrow(&values.collect::<Vec<_>>(), &DataType::Int64))
            }
            WindowKind::Sum | WindowKind::Avg => {
                let n = counts(arg, flat.rows);
                let sums = prefix_sums(arg);
                let pair = |r: &Range<usize>| {
                    let sum = sums[r.end].wrapping_sub(sums[r.start]);
                    (sum, i128::from(n[r.end] - n[r.start]))
                };
                let pairs: Vec<(i128, i128)> = ranges.iter().map(pair).collect();
                if matches!(function.kind, WindowKind::Sum) {
                    let sums = pairs.iter().map(|(s, n)| (*n != 0).then_some(*s));
                    return Ok(narrow(&sums.collect::<Vec<_>>(), &function.output));
                }
                let scale = match arg.map(|a| a.data_type()) {
                    Some(DataType::Decimal128(_, s)) => *s,
                    _ => 0,
                };
                Ok(mean(&pairs, scale, &function.output))
            }
            WindowKind::Min => extreme(arg, ranges, Ordering::Less).map(clean),
            WindowKind::Max => extreme(arg, ranges, Ordering::Greater).map(clean),
            WindowKind::FirstValue => {
                pick(arg, ranges.iter().map(|r| (!r.is_empty()).then_some(r.start))).map(clean)
            }
            WindowKind::LastValue => {
                pick(arg, ranges.iter().map(|r| r.end.checked_sub(1).filter(|e| *e >= r.start)))
                    .map(clean)
            }
            WindowKind::RowNumber => {
                let first = (flat.before + flat.wanted.start) as i64;
                let numbers = (0..flat.wanted.len() as i64).map(|i| first + i + 1);
                Ok(clean(Arc::new(Int64Array::from_iter_values(numbers))))
            }
            WindowKind::Lag { offset } => lag(function, flat, *offset).map(clean),
            WindowKind::Holistic(aggregate) => {
                let args = function.args.iter().map(|c| flat.columns[*c].clone());
                holistic(aggregate, &args.collect::<Vec<_>>(), ranges)
                    .map(clean)
                    .map_err(|e| ArrowError::ExternalError(Box::new(e)))
            }
        }
    }
}

fn clean(column: ArrayRef) -> (ArrayRef, Vec<usize>) {
    (column, vec![])
}

/// Whether a value lies before a bound; nulls stand where the order put them.
fn below(value: Option<i64>, bound: i64, in_front: bool, or_equal: bool) -> bool {
    match value {
        Some(v) => v < bound || or_equal && v == bound,
        None => in_front,
    }
}

/// Non-null arguments (rows, without one) before each position.
fn counts(arg: Option<&ArrayRef>, rows: usize) -> Vec<i64> {
    let mut total = 0;
    let mut counts = Vec::with_capacity(rows + 1);
    counts.push(0);
    for i in 0..rows {
        total += i64::from(arg.is_none_or(|a| a.is_valid(i)));
        counts.push(total);
    }
    counts
}

/// Sums of the arguments before each position. Modular, so differences are exact.
fn prefix_sums(arg: Option<&ArrayRef>) -> Vec<i128> {
    let values = arg.and_then(widen).unwrap_or_default();
    let mut total = 0i128;
    let mut sums = Vec::with_capacity(values.len() + 1);
    sums.push(0);
    for value in values {
        total = total.wrapping_add(value);
        sums.push(total);
    }
    sums
}

/// The argument at a position per row; null without one.
fn pick(
    arg: Option<&ArrayRef>,
    positions: impl Iterator<Item = Option<usize>>,
) -> Result<ArrayRef, ArrowError> {
    let arg = arg.ok_or_else(|| ArrowError::InvalidArgumentError("needs an argument".into()))?;
    let positions = positions.map(|p| p.and_then(|p| u32::try_from(p).ok()));
    take(arg, &UInt32Array::from_iter(positions), None)
}

/// The least (or greatest) non-null argument of each frame. Frames only move forward, so a queue
/// of candidates does: each is better than all behind it.
fn extreme(
    arg: Option<&ArrayRef>,
    ranges: &[Range<usize>],
    better: Ordering,
) -> Result<ArrayRef, ArrowError> {
    let column = arg.ok_or_else(|| ArrowError::InvalidArgumentError("needs an argument".into()))?;
    let compare = make_comparator(column, column, SortOptions::default())?;
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut next = ranges.first().map_or(0, |r| r.start);
    let mut best = Vec::with_capacity(ranges.len());
    for range in ranges {
        next = next.max(range.start);
        while next < range.end {
            if column.is_valid(next) {
                while queue.back().is_some_and(|b| compare(*b, next) != better) {
                    queue.pop_back();
                }
                queue.push_back(next);
            }
            next += 1;
        }
        while queue.front().is_some_and(|f| *f < range.start) {
            queue.pop_front();
        }
        best.push(queue.front().copied().filter(|f| *f < range.end));
    }
    pick(arg, best.into_iter())
}

fn lag(function: &WindowFunction, flat: &Flat, offset: i64) -> Result<ArrayRef, ArrowError> {
    let source = |i: usize| {
        let at = (i as i64).checked_sub(offset)?;
        usize::try_from(at).ok().filter(|at| *at < flat.rows)
    };
    let column = &flat.columns[function.args[0]];
    match function.args.get(1) {
        None => pick(Some(column), flat.wanted.clone().map(source)),
        Some(default) => {
            let default = cast(&flat.columns[*default], column.data_type())?;
            let rows: Vec<(usize, usize)> =
                flat.wanted.clone().map(|i| source(i).map_or((1, i), |at| (0, at))).collect();
            interleave(&[column.as_ref(), default.as_ref()], &rows)
        }
    }
}

/// DataFusion's aggregate, from scratch over each frame in window order.
fn holistic(
    aggregate: &AggregateFunctionExpr,
    args: &[ArrayRef],
    ranges: &[Range<usize>],
) -> Result<ArrayRef, datafusion_common::DataFusionError> {
    let mut results: Vec<ScalarValue> = Vec::with_capacity(ranges.len());
    for (i, range) in ranges.iter().enumerate() {
        // Peers see the same frame.
        if i > 0 && ranges[i - 1] == *range {
            results.push(results[i - 1].clone());
            continue;
        }
        let mut accumulator = aggregate.create_accumulator()?;
        let frame: Vec<ArrayRef> = args.iter().map(|a| a.slice(range.start, range.len())).collect();
        accumulator.update_batch(&frame)?;
        results.push(accumulator.evaluate()?);
    }
    match results.is_empty() {
        true => Ok(new_empty_array(aggregate.field().data_type())),
        false => ScalarValue::iter_to_array(results),
    }
}
