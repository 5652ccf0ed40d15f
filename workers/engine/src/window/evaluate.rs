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
use arrow::compute::{SortOptions, cast, concat, interleave, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use schemas::normal::normalize;

use super::Shape;
use super::columns::{Columns, Computed, Sums, Totals, Valid};
use super::frames::{Sight, View};
use super::list::List;
use super::median::{deviation, median, median_of_whole};
use super::reach::{Groups, bit};
use super::values::{Flags, Gathered, Values};
use crate::numbers::{divided, mean_of, narrow};
use crate::plan::{WindowFunction, WindowKind};

/// So few frames are summed up one by one.
const FEW: usize = 2;

pub(crate) struct Evaluator {
    functions: Vec<Planned>,
    types: Vec<DataType>,
    computed: Vec<Computed>,
}

struct Planned {
    function: WindowFunction,
    group: usize,
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

impl Evaluator {
    /// `groups` says for each function which group it is of; `computed` are the columns behind
    /// the input's.
    pub(crate) fn new(
        input: &SchemaRef,
        functions: &[WindowFunction],
        groups: &[usize],
        computed: Vec<Computed>,
    ) -> Evaluator {
        let types: Vec<DataType> = input.fields().iter().map(|f| f.data_type().clone()).collect();
        let arg = |c: &usize| match types.get(*c) {
            Some(kept) => kept.clone(),
            None => computed[*c - types.len()].data_type().clone(),
        };
        let plan = |(function, group): (&WindowFunction, &usize)| {
            let how = how(&function.kind, function.args.first().map(arg).as_ref());
            Planned { function: function.clone(), group: *group, how }
        };
        let functions = functions.iter().zip(groups).map(plan).collect();
        Evaluator { functions, types, computed }
    }

    /// How many functions there are.
    pub(crate) fn functions(&self) -> usize {
        self.functions.len()
    }

    /// The columns that are computed where they are read.
    pub(crate) fn computed(&self) -> &[Computed] {
        &self.computed
    }

    /// The values of the functions of `groups` for the rows at `wanted` (positions of `list`);
    /// none for those of other groups, and none at all of no rows.
    pub(crate) fn values(
        &self,
        shape: &Shape,
        list: List<'_>,
        partition: &Range<usize>,
        wanted: &Range<usize>,
        groups: Groups,
        visited: &mut u64,
    ) -> Result<Vec<Option<Values>>, ArrowError> {
        let mut all: Vec<Option<Values>> = self.functions.iter().map(|_| None).collect();
        if wanted.is_empty() || groups == 0 {
            return Ok(all);
        }
        let sight = Sight::new(shape, list, partition, wanted, groups)?;
        *visited += sight.len() as u64;
        let (views, frames) = sight.frames(groups)?;
        let columns = |v| Columns::new(list, v, &self.types, &self.computed);
        let mut columns: Vec<Columns<'_>> = views.iter().map(columns).collect();
        let own = self.functions.iter().zip(&mut all);
        for (planned, values) in own.filter(|(p, _)| groups & bit(p.group) != 0) {
            let frames = &frames[planned.group];
            let mut evaluation = Evaluation {
                planned,
                sight: &sight,
                view: &views[frames.view],
                ranges: &frames.ranges,
                columns: &mut columns[frames.view],
                types: &self.types,
                computed: &self.computed,
            };
            *values = Some(evaluation.values(partition.start)?);
        }
        Ok(all)
    }

    /// Columns of the functions, and why a row has no value, from values of many runs.
    pub(crate) fn columns(
        &self,
        values: Vec<Option<Gathered>>,
        rows: usize,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut reasons: Vec<Option<String>> = vec![None; rows];
        let mut columns = Vec::with_capacity(values.len() + 1);
        for (planned, gathered) in self.functions.iter().zip(values) {
            let function = &planned.function;
            let column = match gathered {
                None => new_empty_array(&function.output),
                Some(Gathered::Longs(values, flags)) => {
                    let nulls = flags.map(NullBuffer::from);
                    Arc::new(Int64Array::new(values.into(), nulls)) as ArrayRef
                }
                Some(Gathered::Exact(values)) => {
                    let (column, outside) = narrow(&values, &function.output);
                    for row in outside {
                        reasons[row] = Some(format!(
                            "{} is out of the range of {}: cast its argument to a wider type",
                            function.name, function.output
                        ));
                    }
                    column
                }
                Some(Gathered::Floats(values)) => Arc::new(Float64Array::from(values)) as ArrayRef,
                Some(Gathered::Any(parts)) if parts.is_empty() => new_empty_array(&function.output),
                Some(Gathered::Any(parts)) => {
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

struct Evaluation<'a, 'b> {
    planned: &'a Planned,
    sight: &'a Sight<'a>,
    view: &'a View,
    ranges: &'a [Range<usize>],
    columns: &'b mut Columns<'a>,
    types: &'a [DataType],
    computed: &'a [Computed],
}

impl Evaluation<'_, '_> {
    /// Argument `i`.
    fn arg(&self, i: usize) -> Result<usize, ArrowError> {
        let needs = || ArrowError::InvalidArgumentError("needs an argument".into());
        self.planned.function.args.get(i).copied().ok_or_else(needs)
    }

    /// Argument `i` of the rows in the view.
    fn seen(&self, i: usize) -> Result<ArrayRef, ArrowError> {
        self.columns.array(self.arg(i)?)
    }

    fn values(&mut self, partition: usize) -> Result<Values, ArrowError> {
        let ranges = self.ranges;
        match &self.planned.function.kind {
            WindowKind::Count => Ok(Values::Longs(self.counted()?, None)),
            WindowKind::Sum => self.sum(),
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
                let numbers = (0..self.sight.wanted.len()).map(|i| (first + i + 1) as i64);
                Ok(Values::Longs(numbers.collect(), None))
            }
            WindowKind::Lag { offset } => self.lag(*offset),
            WindowKind::Holistic(aggregate) => match self.planned.how {
                How::Plain => self.holistic(aggregate),
                How::WholeMedian => {
                    let (values, valid) = self.columns.exact(self.arg(0)?)?;
                    Ok(Values::Exact(gathered(ranges, &values, &valid, median_of_whole)))
                }
                How::Median => self.of_floats(median),
                How::Deviation => self.of_floats(deviation),
            },
        }
    }

    /// Sums of a few frames, without totals of all that is in sight.
    fn few_sums(&self, column: usize) -> Option<Values> {
        let View::Span(span) = self.view else { return None };
        if self.ranges.len() > FEW || column >= self.types.len() {
            return None;
        }
        let one = |r: &Range<usize>| {
            let sum = self.sight.list.sum(column, span.start + r.start..span.start + r.end)?;
            Some((sum, r.len()))
        };
        let sums: Vec<(i128, usize)> = self.ranges.iter().map(one).collect::<Option<_>>()?;
        short(sums.into_iter())
    }

    fn sum(&mut self) -> Result<Values, ArrowError> {
        if self.planned.function.output == DataType::Int64
            && let Some(sums) = self.few_sums(self.arg(0)?)
        {
            return Ok(sums);
        }
        let sums = self.columns.sums(self.arg(0)?)?;
        if self.planned.function.output == DataType::Int64 {
            if let Some(longs) = plain(self.ranges, &sums) {
                return Ok(longs);
            }
            if let Some(longs) = short(self.ranges.iter().map(|r| sums.of(r))) {
                return Ok(longs);
            }
        }
        let one = |r| Some(sums.of(r)).filter(|(_, n)| *n != 0).map(|(sum, _)| sum);
        Ok(Values::Exact(self.ranges.iter().map(one).collect()))
    }

    fn counted(&mut self) -> Result<Vec<i64>, ArrowError> {
        let ranges = self.ranges.iter();
        let valid = match self.planned.function.args.first() {
            Some(c) => self.columns.valid(*c)?,
            None => Valid::default(),
        };
        if valid.all() {
            return Ok(ranges.map(|r| r.len() as i64).collect());
        }
        let n = valid.counts();
        Ok(ranges.map(|r| (n[r.end] - n[r.start]) as i64).collect())
    }

    fn mean(&mut self) -> Result<Values, ArrowError> {
        let arg = self.arg(0)?;
        let sums = self.columns.sums(arg)?;
        let pairs = self.ranges.iter().map(|r| {
            let (sum, n) = sums.of(r);
            (sum, n as i128)
        });
        let scale = match self.columns.data_type(arg) {
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

    fn of_floats(&mut self, f: fn(&mut [f64]) -> Option<f64>) -> Result<Values, ArrowError> {
        let floats = self.columns.floats(self.arg(0)?)?;
        Ok(Values::Floats(gathered(self.ranges, &floats.0, &floats.1, f)))
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
        let ranges = self.ranges;
        let best = match self.view {
            View::Span(_) => sliding_extreme(&column, ranges, |a, b| compare(a, b) == better),
            // Frames of one sub-partition after the other, each short.
            View::Permuted(..) | View::Picked(_) => {
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
        let columns = Columns::new(self.sight.list, &sight, self.types, self.computed);
        let column = columns.array(self.arg(0)?)?;
        if self.planned.function.args.len() < 2 {
            let rows = wanted.map(|i| source(i).map(|at| at as u32));
            return Ok(Values::Any(take(&column, &UInt32Array::from_iter(rows), None)?));
        }
        let default = cast(&columns.array(self.arg(1)?)?, column.data_type())?;
        let rows: Vec<(usize, usize)> =
            wanted.map(|i| source(i).map_or((1, i), |at| (0, at))).collect();
        Ok(Values::Any(interleave(&[column.as_ref(), default.as_ref()], &rows)?))
    }

    /// DataFusion's aggregate, from scratch over each frame in window order.
    fn holistic(&self, aggregate: &AggregateFunctionExpr) -> Result<Values, ArrowError> {
        let args = (0..self.planned.function.args.len()).map(|i| self.seen(i));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let external = |e| ArrowError::ExternalError(Box::new(e));
        let ranges = self.ranges;
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

/// Sums of 64-bit numbers where every frame has rows and every row has a number.
fn plain(ranges: &[Range<usize>], sums: &Sums) -> Option<Values> {
    let Totals::Longs(before) = &sums.before else { return None };
    if !sums.counts.is_empty() || ranges.iter().any(Range::is_empty) {
        return None;
    }
    Some(Values::Longs(ranges.iter().map(|r| before[r.end] - before[r.start]).collect(), None))
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
