//! The functions of a window, over the rows that some rows see.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, StringArray, UInt32Array, make_comparator,
    new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, cast, concat, interleave, kernels::cmp::not_distinct, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use schemas::normal::normalize;

use super::Shape;
use super::frames::{Frames, Sight, View};
use super::list::{List, Valid};
use super::median::{deviation, median, median_of_whole};
use crate::numbers::{divided, mean_of, narrow};
use crate::plan::{Frame, WindowFunction, WindowKind};

pub(crate) struct Evaluator {
    functions: Vec<Planned>,
    /// Each distinct frame, with the column that numbers its sub-partitions.
    frames: Vec<(Frame, Option<usize>)>,
    types: Vec<DataType>,
}

struct Planned {
    function: WindowFunction,
    frame: usize,
    how: How,
}

/// Which loop computes a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// As its kind says.
    Plain,
    /// The median of Int64 values, truncated toward zero.
    WholeMedian,
    /// The median of floats.
    Median,
    /// The median absolute deviation of floats.
    Deviation,
}

/// One function's values, one per wanted row.
pub(crate) enum Values {
    /// Exact numbers that all fit 64 bits, and are to be Int64.
    Longs(Vec<i64>, Flags),
    Exact(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
    Any(ArrayRef),
}

/// Which values are there; `None` while all are.
type Flags = Option<Vec<bool>>;

impl Evaluator {
    /// `subs` says for each function the column that numbers its sub-partitions, if it has any.
    pub(crate) fn new(
        input: &SchemaRef,
        functions: &[WindowFunction],
        subs: &[Option<usize>],
    ) -> Evaluator {
        let types: Vec<DataType> = input.fields().iter().map(|f| f.data_type().clone()).collect();
        let mut frames: Vec<(Frame, Option<usize>)> = vec![];
        let plan = |(function, sub): (&WindowFunction, &Option<usize>)| {
            let wanted = (function.frame, *sub);
            let frame = frames.iter().position(|f| *f == wanted).unwrap_or_else(|| {
                frames.push(wanted);
                frames.len() - 1
            });
            let arg = function.args.first().map(|c| &types[*c]);
            Planned { function: function.clone(), frame, how: how(&function.kind, arg) }
        };
        let functions = functions.iter().zip(subs).map(plan).collect();
        Evaluator { functions, frames, types }
    }

    /// The values of every function for the rows at `wanted` (positions of `list`).
    pub(crate) fn values(
        &self,
        shape: &Shape,
        list: &List,
        partition: &Range<usize>,
        wanted: Range<usize>,
        visited: &mut u64,
    ) -> Result<Vec<Values>, ArrowError> {
        let range = shape.reach.sight(shape, list, partition, &wanted)?;
        *visited += range.len() as u64;
        let ranks = if shape.whole { list.ranks(shape, range.clone())? } else { vec![] };
        let wanted = wanted.start - range.start..wanted.end - range.start;
        let sight = Sight { shape, list, range, wanted, ranks };
        let (views, frames) = sight.frames(&self.frames)?;
        let mut sums: Vec<((usize, usize), Sums)> = vec![];
        let mut all = Vec::with_capacity(self.functions.len());
        for planned in &self.functions {
            let frames = &frames[planned.frame];
            let view = &views[frames.view];
            let key = (frames.view, planned.function.args.first().copied().unwrap_or(0));
            let summed = matches!(planned.function.kind, WindowKind::Sum | WindowKind::Avg);
            if summed && !sums.iter().any(|(at, _)| *at == key) {
                sums.push((key, Sums::new(list, key.1, view)));
            }
            let sums = sums.iter().find(|(at, _)| summed && *at == key).map(|(_, s)| s);
            let evaluation =
                Evaluation { planned, sight: &sight, view, frames, types: &self.types, sums };
            all.push(evaluation.values(partition.start)?);
        }
        Ok(all)
    }

    /// Columns of the functions, and why a row has no value, from values of many runs.
    pub(crate) fn columns(
        &self,
        values: Vec<Gathered>,
        rows: usize,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut reasons: Vec<Option<String>> = vec![None; rows];
        let mut columns = Vec::with_capacity(values.len() + 1);
        for (planned, gathered) in self.functions.iter().zip(values) {
            let function = &planned.function;
            let column = match gathered {
                Gathered::Longs(values, flags) => {
                    let nulls = flags.map(NullBuffer::from);
                    Arc::new(Int64Array::new(values.into(), nulls)) as ArrayRef
                }
                Gathered::Exact(values) => {
                    let (column, outside) = narrow(&values, &function.output);
                    for row in outside {
                        reasons[row] = Some(format!(
                            "{} is out of the range of {}: cast its argument to a wider type",
                            function.name, function.output
                        ));
                    }
                    column
                }
                Gathered::Floats(values) => Arc::new(Float64Array::from(values)) as ArrayRef,
                Gathered::Any(parts) if parts.is_empty() => new_empty_array(&function.output),
                Gathered::Any(parts) => {
                    concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?
                }
            };
            let column = normalize(&column)?;
            columns.push(match column.data_type() == &function.output {
                true => column,
                false => cast(&column, &function.output)?,
            });
        }
        columns.push(Arc::new(StringArray::from(reasons)));
        Ok(columns)
    }
}

fn how(kind: &WindowKind, arg: Option<&DataType>) -> How {
    let WindowKind::Holistic(aggregate) = kind else { return How::Plain };
    if aggregate.is_distinct() {
        return How::Plain;
    }
    match (aggregate.fun().name(), arg) {
        ("median", Some(DataType::Int64)) => How::WholeMedian,
        ("median", Some(DataType::Float64)) => How::Median,
        ("mad", Some(DataType::Float64)) => How::Deviation,
        _ => How::Plain,
    }
}

/// Totals before each row.
enum Totals {
    Longs(Vec<i64>),
    /// Modular, so differences are exact.
    Wide(Vec<i128>),
}

/// Running totals of a column's exact numbers.
struct Sums {
    before: Totals,
    /// Values before each row; empty if all rows have one.
    counts: Vec<usize>,
}

impl Sums {
    fn new(list: &List, column: usize, view: &View) -> Sums {
        if let Some((longs, valid)) = list.longs(column, view)
            && let Some(before) = running(&longs)
        {
            let counts = counts(&valid, longs.len());
            return Sums { before: Totals::Longs(before), counts };
        }
        let (values, valid) = list.exact(column, view);
        let mut before = Vec::with_capacity(values.len() + 1);
        let mut total = 0i128;
        before.push(0);
        for value in &values {
            total = total.wrapping_add(*value);
            before.push(total);
        }
        let counts = counts(&valid, values.len());
        Sums { before: Totals::Wide(before), counts }
    }

    /// Sum and number of values of a frame.
    #[inline]
    fn of(&self, frame: &Range<usize>) -> (i128, usize) {
        let n = match self.counts.is_empty() {
            true => frame.len(),
            false => self.counts[frame.end] - self.counts[frame.start],
        };
        let sum = match &self.before {
            Totals::Longs(before) => {
                i128::from(before[frame.end]) - i128::from(before[frame.start])
            }
            Totals::Wide(before) => before[frame.end].wrapping_sub(before[frame.start]),
        };
        (sum, n)
    }
}

/// Totals before each value and behind the last; `None` if one does not fit.
fn running(values: &[i64]) -> Option<Vec<i64>> {
    let mut before = Vec::with_capacity(values.len() + 1);
    let mut total = 0i64;
    before.push(0);
    for value in values {
        total = total.checked_add(*value)?;
        before.push(total);
    }
    Some(before)
}

/// Values before each row; empty if all rows have one.
fn counts(valid: &Valid, rows: usize) -> Vec<usize> {
    if valid.all() {
        return vec![];
    }
    let mut counts = Vec::with_capacity(rows + 1);
    let mut total = 0;
    counts.push(0);
    for i in 0..rows {
        total += usize::from(valid.get(i));
        counts.push(total);
    }
    counts
}

struct Evaluation<'a> {
    planned: &'a Planned,
    sight: &'a Sight<'a>,
    view: &'a View,
    frames: &'a Frames,
    types: &'a [DataType],
    sums: Option<&'a Sums>,
}

impl Evaluation<'_> {
    /// The column and type of argument `i`.
    fn arg(&self, i: usize) -> Result<(usize, &DataType), ArrowError> {
        let column = self.planned.function.args.get(i);
        let needs = || ArrowError::InvalidArgumentError("needs an argument".into());
        column.map(|c| (*c, &self.types[*c])).ok_or_else(needs)
    }

    /// Argument `i` of the rows in the view.
    fn seen(&self, i: usize) -> Result<ArrayRef, ArrowError> {
        let (column, t) = self.arg(i)?;
        self.sight.list.seen(column, self.view, t)
    }

    fn values(&self, partition: usize) -> Result<Values, ArrowError> {
        let ranges = &self.frames.ranges;
        match &self.planned.function.kind {
            WindowKind::Count => Ok(Values::Longs(self.counted(), None)),
            WindowKind::Sum => Ok(self.sum()),
            WindowKind::Avg => self.mean(),
            WindowKind::Min => self.extreme(Ordering::Less),
            WindowKind::Max => self.extreme(Ordering::Greater),
            WindowKind::FirstValue => {
                self.pick(ranges.iter().map(|r| (!r.is_empty()).then_some(r.start)))
            }
            WindowKind::LastValue => {
                self.pick(ranges.iter().map(|r| (!r.is_empty()).then(|| r.end - 1)))
            }
            WindowKind::RowNumber => {
                let first = self.sight.range.start + self.sight.wanted.start - partition;
                let numbers = (0..self.sight.wanted.len()).map(|i| Some((first + i + 1) as i128));
                Ok(Values::Exact(numbers.collect()))
            }
            WindowKind::Lag { offset } => self.lag(*offset),
            WindowKind::Holistic(aggregate) => match self.planned.how {
                How::Plain => self.holistic(aggregate),
                How::WholeMedian => {
                    let (values, valid) = self.sight.list.exact(self.arg(0)?.0, self.view);
                    Ok(Values::Exact(gathered(ranges, &values, &valid, median_of_whole)))
                }
                How::Median => self.of_floats(median),
                How::Deviation => self.of_floats(deviation),
            },
        }
    }

    fn sum(&self) -> Values {
        let Some(sums) = self.sums else { return Values::Exact(vec![]) };
        let ranges = &self.frames.ranges;
        if self.planned.function.output == DataType::Int64
            && let Some(longs) = short(ranges.iter().map(|r| sums.of(r)))
        {
            return longs;
        }
        let one = |r| Some(sums.of(r)).filter(|(_, n)| *n != 0).map(|(sum, _)| sum);
        Values::Exact(ranges.iter().map(one).collect())
    }

    fn counted(&self) -> Vec<i64> {
        let ranges = self.frames.ranges.iter();
        let valid = match self.planned.function.args.first() {
            Some(c) => self.sight.list.valid(*c, self.view),
            None => Valid::default(),
        };
        if valid.all() {
            return ranges.map(|r| r.len() as i64).collect();
        }
        let n = counts(&valid, valid.len());
        ranges.map(|r| (n[r.end] - n[r.start]) as i64).collect()
    }

    fn mean(&self) -> Result<Values, ArrowError> {
        let Some(sums) = self.sums else { return Ok(Values::Floats(vec![])) };
        let pairs = self.frames.ranges.iter().map(|r| {
            let (sum, n) = sums.of(r);
            (sum, n as i128)
        });
        let scale = match self.arg(0)?.1 {
            DataType::Decimal128(_, s) => *s,
            _ => 0,
        };
        Ok(match &self.planned.function.output {
            DataType::Decimal128(_, wider) => {
                Values::Exact(pairs.map(|p| divided(p, scale, *wider)).collect())
            }
            _ => Values::Floats(pairs.map(|p| mean_of(p, scale)).collect()),
        })
    }

    fn of_floats(&self, f: fn(&mut [f64]) -> Option<f64>) -> Result<Values, ArrowError> {
        let (values, valid) = self.sight.list.floats(self.arg(0)?.0, self.view);
        Ok(Values::Floats(gathered(&self.frames.ranges, &values, &valid, f)))
    }

    /// The argument at a row of the view, per wanted row; null without one.
    fn pick(&self, rows: impl Iterator<Item = Option<usize>>) -> Result<Values, ArrowError> {
        let column = self.seen(0)?;
        let rows = rows.map(|r| r.and_then(|r| u32::try_from(r).ok()));
        Ok(Values::Any(take(&column, &UInt32Array::from_iter(rows), None)?))
    }

    /// The least (or greatest) non-null argument of each frame.
    fn extreme(&self, better: Ordering) -> Result<Values, ArrowError> {
        let column = self.seen(0)?;
        let compare = make_comparator(&column, &column, SortOptions::default())?;
        let ranges = &self.frames.ranges;
        let best = match self.view {
            View::Span(_) => sliding_extreme(&column, ranges, |a, b| compare(a, b) == better),
            // Each frame's rows are its own.
            View::Picked(_) => {
                let one = |r: &Range<usize>| {
                    let valid = r.clone().filter(|i| column.is_valid(*i));
                    valid.reduce(|a, b| if compare(b, a) == better { b } else { a })
                };
                ranges.iter().map(one).collect()
            }
        };
        let best = best.into_iter().map(|i| i.map(|i| i as u32));
        Ok(Values::Any(take(&column, &UInt32Array::from_iter(best), None)?))
    }

    fn lag(&self, offset: i64) -> Result<Values, ArrowError> {
        let source = |i: usize| {
            let at = (i as i64).checked_sub(offset)?;
            usize::try_from(at).ok().filter(|at| *at < self.sight.len())
        };
        let wanted = self.sight.wanted.clone();
        let sight = View::Span(self.sight.range.clone());
        let (arg, t) = self.arg(0)?;
        let column = self.sight.list.seen(arg, &sight, t)?;
        if self.planned.function.args.len() < 2 {
            let rows = wanted.map(|i| source(i).map(|at| at as u32));
            return Ok(Values::Any(take(&column, &UInt32Array::from_iter(rows), None)?));
        }
        let (default, default_type) = self.arg(1)?;
        let default = self.sight.list.seen(default, &sight, default_type)?;
        let default = cast(&default, column.data_type())?;
        let rows: Vec<(usize, usize)> =
            wanted.map(|i| source(i).map_or((1, i), |at| (0, at))).collect();
        Ok(Values::Any(interleave(&[column.as_ref(), default.as_ref()], &rows)?))
    }

    /// DataFusion's aggregate, from scratch over each frame in window order.
    fn holistic(&self, aggregate: &AggregateFunctionExpr) -> Result<Values, ArrowError> {
        let args = (0..self.planned.function.args.len()).map(|i| self.seen(i));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let external = |e| ArrowError::ExternalError(Box::new(e));
        let ranges = &self.frames.ranges;
        let mut results: Vec<ScalarValue> = Vec::with_capacity(ranges.len());
        for (i, range) in ranges.iter().enumerate() {
            // Peers see the same frame.
            if i > 0 && ranges[i - 1] == *range {
                results.push(results[i - 1].clone());
                continue;
            }
            let frame: Vec<ArrayRef> =
                args.iter().map(|a| a.slice(range.start, range.len())).collect();
            let mut accumulator = aggregate.create_accumulator().map_err(external)?;
            accumulator.update_batch(&frame).map_err(external)?;
            results.push(accumulator.evaluate().map_err(external)?);
        }
        let array = match results.is_empty() {
            true => new_empty_array(aggregate.field().data_type()),
            false => ScalarValue::iter_to_array(results).map_err(external)?,
        };
        Ok(Values::Any(array))
    }
}

/// (sum, values) of each frame as [`Values::Longs`]; `None` if one does not fit.
fn short(sums: impl ExactSizeIterator<Item = (i128, usize)>) -> Option<Values> {
    let mut values = Vec::with_capacity(sums.len());
    let mut flags: Flags = None;
    for (sum, n) in sums {
        if n == 0 && flags.is_none() {
            flags = Some(vec![true; values.len()]);
        }
        values.push(i64::try_from(sum).ok()?);
        if let Some(flags) = &mut flags {
            flags.push(n != 0);
        }
    }
    Some(Values::Longs(values, flags))
}

/// `f` of the values of each frame.
fn gathered<T: Copy>(
    ranges: &[Range<usize>],
    values: &[T],
    valid: &Valid,
    f: fn(&mut [T]) -> Option<T>,
) -> Vec<Option<T>> {
    let mut scratch: Vec<T> = vec![];
    let one = |range: &Range<usize>| {
        scratch.clear();
        match valid.all() {
            true => scratch.extend_from_slice(&values[range.clone()]),
            false => {
                scratch.extend(range.clone().filter(|i| valid.get(*i)).map(|i| values[i]));
            }
        }
        f(&mut scratch)
    };
    ranges.iter().map(one).collect()
}

/// Frames only move forward, so a queue of candidates does: each is better than all behind it.
fn sliding_extreme(
    column: &ArrayRef,
    ranges: &[Range<usize>],
    better: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut next = ranges.first().map_or(0, |r| r.start);
    let mut best = Vec::with_capacity(ranges.len());
    for range in ranges {
        next = next.max(range.start);
        while next < range.end {
            if column.is_valid(next) {
                while queue.back().is_some_and(|b| !better(*b, next)) {
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
    best
}

/// Values of one function, of the rows that leave.
pub(crate) enum Gathered {
    Longs(Vec<i64>, Flags),
    Exact(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
    Any(Vec<ArrayRef>),
}

impl Gathered {
    /// Room for values like these.
    pub(crate) fn like(values: &Values) -> Gathered {
        match values {
            Values::Longs(..) => Gathered::Longs(vec![], None),
            Values::Exact(_) => Gathered::Exact(vec![]),
            Values::Floats(_) => Gathered::Floats(vec![]),
            Values::Any(_) => Gathered::Any(vec![]),
        }
    }

    /// Add the values of `rows`.
    pub(crate) fn add(&mut self, values: &Values, rows: &[u32]) -> Result<(), ArrowError> {
        if let (Gathered::Longs(all, flags), Values::Exact(_)) = (&mut *self, values) {
            let wide =
                |(i, v): (usize, &i64)| flags.as_ref().is_none_or(|f| f[i]).then(|| (*v).into());
            *self = Gathered::Exact(all.iter().enumerate().map(wide).collect());
        }
        match (self, values) {
            (Gathered::Longs(all, flags), Values::Longs(v, f)) => {
                if let (None, Some(_)) = (&flags, f) {
                    *flags = Some(vec![true; all.len()]);
                }
                if let Some(flags) = flags {
                    flags.extend(rows.iter().map(|i| f.as_ref().is_none_or(|f| f[*i as usize])));
                }
                all.extend(rows.iter().map(|i| v[*i as usize]));
            }
            (Gathered::Exact(all), longs @ Values::Longs(..)) => {
                all.extend(rows.iter().map(|i| longs.exact(*i)));
            }
            (Gathered::Exact(all), Values::Exact(v)) => {
                all.extend(rows.iter().map(|i| v[*i as usize]));
            }
            (Gathered::Floats(all), Values::Floats(v)) => {
                all.extend(rows.iter().map(|i| v[*i as usize]));
            }
            (Gathered::Any(all), Values::Any(v)) => {
                all.push(take(v, &UInt32Array::from(rows.to_vec()), None)?);
            }
            _ => debug_assert!(false, "a function's values are of one kind"),
        }
        Ok(())
    }
}

impl Values {
    /// An exact number; none for values that are of another kind.
    fn exact(&self, row: u32) -> Option<i128> {
        match self {
            Values::Longs(v, f) => {
                let there = f.as_ref().is_none_or(|f| f[row as usize]);
                there.then(|| v[row as usize].into())
            }
            Values::Exact(v) => v[row as usize],
            Values::Floats(_) | Values::Any(_) => None,
        }
    }
}

/// Mark where the values of `old` at `old_rows` differ from those of `new` at `new_rows`.
pub(crate) fn differing(
    old: &Values,
    new: &Values,
    (old_rows, new_rows): (&[u32], &[u32]),
    differs: &mut [bool],
) -> Result<(), ArrowError> {
    let pairs = old_rows.iter().zip(new_rows).zip(differs.iter_mut());
    match (old, new) {
        (Values::Longs(a, None), Values::Longs(b, None)) => {
            pairs.for_each(|((i, j), d)| *d |= a[*i as usize] != b[*j as usize]);
        }
        (Values::Longs(..) | Values::Exact(_), Values::Longs(..) | Values::Exact(_)) => {
            pairs.for_each(|((i, j), d)| *d |= old.exact(*i) != new.exact(*j));
        }
        (Values::Floats(a), Values::Floats(b)) => {
            let bits = |v: Option<f64>| v.map(f64::to_bits);
            pairs.for_each(|((i, j), d)| *d |= bits(a[*i as usize]) != bits(b[*j as usize]));
        }
        (Values::Any(a), Values::Any(b)) => {
            let at = |v: &ArrayRef, rows: &[u32]| take(v, &UInt32Array::from(rows.to_vec()), None);
            let same = not_distinct(&at(a, old_rows)?, &at(b, new_rows)?)?;
            differs.iter_mut().enumerate().for_each(|(i, d)| *d |= !same.value(i));
        }
        _ => debug_assert!(false, "a function's values are of one kind"),
    }
    Ok(())
}
