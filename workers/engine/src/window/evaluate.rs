//! The functions of a window, over the rows that some rows see.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, StringArray, UInt32Array, make_comparator, new_empty_array,
};
use arrow::compute::{SortOptions, cast, concat, interleave, kernels::cmp::not_distinct, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use schemas::normal::normalize;

use super::Shape;
use super::frames::{Frames, Sight};
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
    Exact(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
    Any(ArrayRef),
}

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
        let frames = self.frames.iter().map(|(frame, sub)| sight.frames(*frame, *sub));
        let frames = frames.collect::<Result<Vec<_>, _>>()?;
        let mut sums: Vec<(usize, Sums)> = vec![];
        let mut all = Vec::with_capacity(self.functions.len());
        for planned in &self.functions {
            let arg = planned.function.args.first().copied();
            if let (WindowKind::Sum | WindowKind::Avg, Some(c)) = (&planned.function.kind, arg)
                && !sums.iter().any(|(at, _)| *at == c)
            {
                sums.push((c, Sums::new(list, c, sight.range.clone())));
            }
            let sums = sums.iter().find(|(at, _)| Some(*at) == arg).map(|(_, s)| s);
            let evaluation = Evaluation { planned, sight: &sight, types: &self.types, sums };
            let start = partition.start;
            all.push(evaluation.values(&frames[planned.frame], start)?);
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

/// Exact numbers of a column, and their running totals.
struct Sums {
    values: Vec<i128>,
    valid: Valid,
    /// Total before each row. Modular, so differences are exact.
    before: Vec<i128>,
    /// Values before each row; empty if all rows have one.
    counts: Vec<usize>,
}

impl Sums {
    fn new(list: &List, column: usize, range: Range<usize>) -> Sums {
        let (values, valid) = list.exact(column, range);
        let mut before = Vec::with_capacity(values.len() + 1);
        let mut total = 0i128;
        before.push(0);
        for value in &values {
            total = total.wrapping_add(*value);
            before.push(total);
        }
        let counts = counts(&valid, values.len());
        Sums { values, valid, before, counts }
    }

    /// (sum, values) of each frame.
    fn of(&self, frames: &Frames) -> Vec<(i128, usize)> {
        match frames {
            Frames::Ranges(ranges) => ranges
                .iter()
                .map(|r| {
                    let n = match self.counts.is_empty() {
                        true => r.len(),
                        false => self.counts[r.end] - self.counts[r.start],
                    };
                    (self.before[r.end].wrapping_sub(self.before[r.start]), n)
                })
                .collect(),
            lists => {
                let mut all = Vec::with_capacity(lists.len());
                lists.each(|rows| {
                    all.push(rows.filter(|i| self.valid.get(*i)).fold((0, 0), |(sum, n), i| {
                        (i128::wrapping_add(sum, self.values[i]), n + 1)
                    }));
                });
                all
            }
        }
    }
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

    fn flat(&self, i: usize) -> Result<ArrayRef, ArrowError> {
        let (column, t) = self.arg(i)?;
        self.sight.list.flat(column, self.sight.range.clone(), t)
    }

    fn values(&self, frames: &Frames, partition: usize) -> Result<Values, ArrowError> {
        let function = &self.planned.function;
        let range = &self.sight.range;
        match &function.kind {
            WindowKind::Count => Ok(Values::Exact(self.counted(frames))),
            WindowKind::Sum => {
                let sums = self.sums.map(|s| s.of(frames)).unwrap_or_default();
                Ok(Values::Exact(sums.iter().map(|(s, n)| (*n != 0).then_some(*s)).collect()))
            }
            WindowKind::Avg => {
                let sums = self.sums.map(|s| s.of(frames)).unwrap_or_default();
                let pairs = sums.iter().map(|(s, n)| (*s, *n as i128));
                let scale = match self.arg(0)?.1 {
                    DataType::Decimal128(_, s) => *s,
                    _ => 0,
                };
                Ok(match &function.output {
                    DataType::Decimal128(_, wider) => {
                        Values::Exact(pairs.map(|p| divided(p, scale, *wider)).collect())
                    }
                    _ => Values::Floats(pairs.map(|p| mean_of(p, scale)).collect()),
                })
            }
            WindowKind::Min => self.extreme(frames, Ordering::Less),
            WindowKind::Max => self.extreme(frames, Ordering::Greater),
            WindowKind::FirstValue => self.end_of(frames, |rows| rows.next()),
            WindowKind::LastValue => self.end_of(frames, |rows| rows.last()),
            WindowKind::RowNumber => {
                let first = range.start + self.sight.wanted.start - partition;
                let numbers = (0..self.sight.wanted.len()).map(|i| Some((first + i + 1) as i128));
                Ok(Values::Exact(numbers.collect()))
            }
            WindowKind::Lag { offset } => self.lag(*offset),
            WindowKind::Holistic(aggregate) => match self.planned.how {
                How::Plain => self.holistic(aggregate, frames),
                How::WholeMedian => {
                    let (values, valid) = self.sight.list.exact(self.arg(0)?.0, range.clone());
                    let medians = gathered(frames, &values, &valid, median_of_whole);
                    Ok(Values::Exact(medians))
                }
                How::Median => self.of_floats(frames, median),
                How::Deviation => self.of_floats(frames, deviation),
            },
        }
    }

    fn counted(&self, frames: &Frames) -> Vec<Option<i128>> {
        let sight = self.sight;
        let valid = match self.planned.function.args.first() {
            Some(c) => sight.list.valid(*c, sight.range.clone()),
            None => Valid::default(),
        };
        let mut all = Vec::with_capacity(frames.len());
        match frames {
            Frames::Ranges(ranges) if valid.all() => {
                all.extend(ranges.iter().map(|r| Some(r.len() as i128)));
            }
            Frames::Ranges(ranges) => {
                let n = counts(&valid, sight.len());
                all.extend(ranges.iter().map(|r| Some((n[r.end] - n[r.start]) as i128)));
            }
            lists => {
                lists.each(|rows| all.push(Some(rows.filter(|i| valid.get(*i)).count() as i128)))
            }
        }
        all
    }

    fn of_floats(
        &self,
        frames: &Frames,
        f: fn(&mut [f64]) -> Option<f64>,
    ) -> Result<Values, ArrowError> {
        let (values, valid) = self.sight.list.floats(self.arg(0)?.0, self.sight.range.clone());
        Ok(Values::Floats(gathered(frames, &values, &valid, f)))
    }

    /// The argument at a row of the sight, per wanted row; null without one.
    fn pick(&self, rows: Vec<Option<usize>>) -> Result<ArrayRef, ArrowError> {
        let (column, t) = self.arg(0)?;
        let start = self.sight.range.start;
        let positions: Vec<Option<usize>> =
            rows.into_iter().map(|r| r.map(|r| start + r)).collect();
        self.sight.list.pick(column, &positions, t)
    }

    fn end_of(
        &self,
        frames: &Frames,
        f: impl Fn(&mut dyn Iterator<Item = usize>) -> Option<usize>,
    ) -> Result<Values, ArrowError> {
        let mut rows = Vec::with_capacity(frames.len());
        frames.each(|frame| rows.push(f(frame)));
        self.pick(rows).map(Values::Any)
    }

    /// The least (or greatest) non-null argument of each frame.
    fn extreme(&self, frames: &Frames, better: Ordering) -> Result<Values, ArrowError> {
        let column = self.flat(0)?;
        let compare = make_comparator(&column, &column, SortOptions::default())?;
        let best = match frames {
            Frames::Ranges(ranges) => {
                sliding_extreme(&column, ranges, |a, b| compare(a, b) == better)
            }
            lists => {
                let mut best = Vec::with_capacity(lists.len());
                lists.each(|rows| {
                    let valid = rows.filter(|i| column.is_valid(*i));
                    best.push(valid.reduce(|a, b| if compare(b, a) == better { b } else { a }));
                });
                best
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
        if self.planned.function.args.len() < 2 {
            return self.pick(wanted.map(source).collect()).map(Values::Any);
        }
        let column = self.flat(0)?;
        let default = cast(&self.flat(1)?, column.data_type())?;
        let rows: Vec<(usize, usize)> =
            wanted.map(|i| source(i).map_or((1, i), |at| (0, at))).collect();
        Ok(Values::Any(interleave(&[column.as_ref(), default.as_ref()], &rows)?))
    }

    /// DataFusion's aggregate, from scratch over each frame in window order.
    fn holistic(
        &self,
        aggregate: &AggregateFunctionExpr,
        frames: &Frames,
    ) -> Result<Values, ArrowError> {
        let args = (0..self.planned.function.args.len()).map(|i| self.flat(i));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let external = |e| ArrowError::ExternalError(Box::new(e));
        let one = |frame: &[ArrayRef]| {
            let mut accumulator = aggregate.create_accumulator()?;
            accumulator.update_batch(frame)?;
            accumulator.evaluate()
        };
        let mut results: Vec<ScalarValue> = Vec::with_capacity(frames.len());
        match frames {
            Frames::Ranges(ranges) => {
                for (i, range) in ranges.iter().enumerate() {
                    // Peers see the same frame.
                    if i > 0 && ranges[i - 1] == *range {
                        results.push(results[i - 1].clone());
                        continue;
                    }
                    let slice = |a: &ArrayRef| a.slice(range.start, range.len());
                    results
                        .push(one(&args.iter().map(slice).collect::<Vec<_>>()).map_err(external)?);
                }
            }
            Frames::Lists { rows, ends } => {
                let mut start = 0;
                for end in ends {
                    let rows = rows[start..*end].iter().map(|i| *i as u32);
                    let rows = UInt32Array::from_iter_values(rows);
                    let taken = args.iter().map(|a| take(a, &rows, None));
                    let taken = taken.collect::<Result<Vec<_>, _>>()?;
                    results.push(one(&taken).map_err(external)?);
                    start = *end;
                }
            }
        }
        let array = match results.is_empty() {
            true => new_empty_array(aggregate.field().data_type()),
            false => ScalarValue::iter_to_array(results).map_err(external)?,
        };
        Ok(Values::Any(array))
    }
}

/// `f` of the values of each frame.
fn gathered<T: Copy>(
    frames: &Frames,
    values: &[T],
    valid: &Valid,
    f: fn(&mut [T]) -> Option<T>,
) -> Vec<Option<T>> {
    let mut scratch: Vec<T> = vec![];
    let mut all = Vec::with_capacity(frames.len());
    frames.each(|rows| {
        scratch.clear();
        scratch.extend(rows.filter(|i| valid.get(*i)).map(|i| values[i]));
        all.push(f(&mut scratch));
    });
    all
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
    Exact(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
    Any(Vec<ArrayRef>),
}

impl Gathered {
    /// Room for values like these.
    pub(crate) fn like(values: &Values) -> Gathered {
        match values {
            Values::Exact(_) => Gathered::Exact(vec![]),
            Values::Floats(_) => Gathered::Floats(vec![]),
            Values::Any(_) => Gathered::Any(vec![]),
        }
    }

    /// Add the values of `rows`.
    pub(crate) fn add(&mut self, values: &Values, rows: &[u32]) -> Result<(), ArrowError> {
        match (self, values) {
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

/// Mark where the values of `old` at `old_rows` differ from those of `new` at `new_rows`.
pub(crate) fn differing(
    old: &Values,
    new: &Values,
    (old_rows, new_rows): (&[u32], &[u32]),
    differs: &mut [bool],
) -> Result<(), ArrowError> {
    let pairs = old_rows.iter().zip(new_rows).zip(differs.iter_mut());
    match (old, new) {
        (Values::Exact(a), Values::Exact(b)) => {
            pairs.for_each(|((i, j), d)| *d |= a[*i as usize] != b[*j as usize]);
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
