//! The columns of the rows that frames are made of: gathered once, whoever reads them.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions, UInt32Array,
    new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion_physical_expr::expressions::{CastExpr, Column};
use schemas::normal::normalize;

use super::frames::View;
use super::list::List;
use super::order::longs;
use crate::numbers::widen;
use crate::plan::{Derived, Expr};
use crate::rewrite::{bare, every, moved};

/// A column that is computed from others wherever it is read, and kept nowhere.
pub(crate) struct Computed {
    how: How,
    output: DataType,
}

enum How {
    /// An Int64 column, as floats.
    Floats(usize),
    /// Any expression that cannot fail, over the columns `reads` alone.
    Expr { expr: Expr, reads: Vec<usize>, schema: SchemaRef },
}

impl Computed {
    /// `derived`, of rows like `input`.
    pub(crate) fn new(derived: &Derived, input: &SchemaRef) -> Computed {
        let output = derived.field.data_type().clone();
        if let Some(cast) = derived.expr.downcast_ref::<CastExpr>()
            && let Some(column) = cast.expr().downcast_ref::<Column>()
            && input.field(column.index()).data_type() == &DataType::Int64
            && output == DataType::Float64
        {
            return Computed { how: How::Floats(column.index()), output };
        }
        let mut reads: Vec<usize> = vec![];
        every(&derived.expr, |e| {
            reads.extend(bare(e).filter(|c| !reads.contains(c)));
            true
        });
        let fields: Vec<Arc<Field>> = reads.iter().map(|c| input.fields()[*c].clone()).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let at = |c: usize| reads.iter().position(|r| *r == c).unwrap_or(c);
        let expr = moved(&derived.expr, &schema, at);
        Computed { how: How::Expr { expr, reads, schema }, output }
    }

    /// The type of its values.
    pub(crate) fn data_type(&self) -> &DataType {
        &self.output
    }

    /// Its values, of `rows` rows with these columns.
    pub(crate) fn of(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, ArrowError> {
        self.evaluate(rows, |c| Ok(columns[c].clone()))
    }

    fn evaluate(
        &self,
        rows: usize,
        mut column: impl FnMut(usize) -> Result<ArrayRef, ArrowError>,
    ) -> Result<ArrayRef, ArrowError> {
        let array = match &self.how {
            How::Floats(c) => cast(&column(*c)?, &DataType::Float64)?,
            How::Expr { expr, reads, schema } => {
                let columns = reads.iter().map(|c| column(*c)).collect::<Result<Vec<_>, _>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
                let external = |e| ArrowError::ExternalError(Box::new(e));
                let value = expr.evaluate(&batch).map_err(external)?;
                normalize(&value.into_array(rows).map_err(external)?)?
            }
        };
        match array.data_type() == &self.output {
            true => Ok(array),
            false => cast(&array, &self.output),
        }
    }
}

/// Values that may be null, and which are.
pub(crate) type Flagged<T> = Rc<(Vec<T>, Valid)>;

/// The columns of a view.
pub(crate) struct Columns<'a> {
    list: List<'a>,
    view: &'a View,
    /// Types of the columns that are kept; those computed follow.
    types: &'a [DataType],
    computed: &'a [Computed],
    longs: Vec<(usize, Option<Flagged<i64>>)>,
    floats: Vec<(usize, Flagged<f64>)>,
    sums: Vec<(usize, Rc<Sums>)>,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(
        list: List<'a>,
        view: &'a View,
        types: &'a [DataType],
        computed: &'a [Computed],
    ) -> Columns<'a> {
        Columns { list, view, types, computed, longs: vec![], floats: vec![], sums: vec![] }
    }

    /// Rows of the view.
    fn len(&self) -> usize {
        match self.view {
            View::Span(range) => range.len(),
            View::Permuted(_, order) => order.len(),
            View::Picked(rows) => rows.len(),
        }
    }

    /// The type of a column.
    pub(crate) fn data_type(&self, column: usize) -> &DataType {
        match self.types.get(column) {
            Some(kept) => kept,
            None => &self.computed[column - self.types.len()].output,
        }
    }

    /// A column, as one array.
    pub(crate) fn array(&self, column: usize) -> Result<ArrayRef, ArrowError> {
        if let Some(computed) =
            column.checked_sub(self.types.len()).and_then(|c| self.computed.get(c))
        {
            return computed.evaluate(self.len(), |c| self.array(c));
        }
        let t = &self.types[column];
        match self.view {
            View::Span(range) => self.list.flat(column, range.clone(), t),
            View::Permuted(range, order) => {
                let flat = self.list.flat(column, range.clone(), t)?;
                take(&flat, &UInt32Array::from(order.clone()), None)
            }
            View::Picked(rows) if rows.is_empty() => Ok(new_empty_array(t)),
            View::Picked(rows) => {
                let mut sources: Vec<&dyn Array> = vec![];
                let mut last = usize::MAX;
                let mut picked = Vec::with_capacity(rows.len());
                for (chunk, row) in rows {
                    if last != *chunk {
                        last = *chunk;
                        sources.push(self.list.chunk(*chunk).columns[column].as_ref());
                    }
                    picked.push((sources.len() - 1, *row));
                }
                interleave(&sources, &picked)
            }
        }
    }

    /// `T` of each row, read from the parts of a column.
    fn gathered<T: Copy + Default>(
        &self,
        column: usize,
        mut part: impl FnMut(&ArrayRef, Range<usize>, &mut Vec<T>),
    ) -> (Vec<T>, Valid) {
        let mut all = Vec::with_capacity(self.len());
        let mut valid = Valid::default();
        let mut take = |k: usize, from: usize, n: usize| {
            let array = &self.list.chunk(k).columns[column];
            part(array, from..from + n, &mut all);
            if array.null_count() > 0 {
                let start = all.len() - n;
                let null = (0..n).filter(|i| array.is_null(from + i));
                null.for_each(|i| all[start + i] = T::default());
            }
            valid.extend(array.nulls().filter(|n| n.null_count() > 0), from, n);
        };
        match self.view {
            View::Span(range) | View::Permuted(range, _) => {
                self.list.pieces(range.clone()).for_each(|(k, from, n)| take(k, from, n));
            }
            View::Picked(rows) => rows.iter().for_each(|(k, row)| take(*k, *row, 1)),
        }
        match self.view {
            View::Permuted(_, order) => {
                let moved = order.iter().map(|i| all[*i as usize]).collect();
                (moved, valid.permuted(order))
            }
            _ => (all, valid),
        }
    }

    /// The 64-bit integers a kept column is made of (nulls are 0); `None` if it is made of others.
    pub(crate) fn longs(&mut self, column: usize) -> Option<Flagged<i64>> {
        if let Some((_, found)) = self.longs.iter().find(|(c, _)| *c == column) {
            return found.clone();
        }
        let first = self.list.first().and_then(|c| c.columns.get(column));
        let kept = column < self.types.len() && first.is_some_and(|c| longs(c).is_some());
        let made = kept.then(|| {
            Rc::new(self.gathered(column, |array, rows, all| {
                if let Some(values) = longs(array) {
                    all.extend_from_slice(&values[rows]);
                }
            }))
        });
        self.longs.push((column, made.clone()));
        made
    }

    /// Exact numbers of a column (nulls are 0).
    pub(crate) fn exact(&mut self, column: usize) -> Result<(Vec<i128>, Valid), ArrowError> {
        if let Some(longs) = self.longs(column) {
            let valid = Valid { flags: longs.1.flags.clone(), len: longs.1.len };
            return Ok((longs.0.iter().map(|v| i128::from(*v)).collect(), valid));
        }
        let array = self.array(column)?;
        let values = widen(&array).unwrap_or_else(|| vec![0; array.len()]);
        Ok((values, Valid::of(&array)))
    }

    /// Floats of a column (nulls are 0).
    pub(crate) fn floats(&mut self, column: usize) -> Result<Flagged<f64>, ArrowError> {
        if let Some((_, found)) = self.floats.iter().find(|(c, _)| *c == column) {
            return Ok(found.clone());
        }
        let computed = column.checked_sub(self.types.len()).map(|c| &self.computed[c].how);
        let cast = match computed {
            Some(How::Floats(whole)) => self.longs(*whole),
            _ => None,
        };
        let made = match (cast, computed) {
            (Some(longs), _) => {
                let valid = Valid { flags: longs.1.flags.clone(), len: longs.1.len };
                (longs.0.iter().map(|v| *v as f64).collect(), valid)
            }
            (None, None) => self.gathered(column, |array, rows, all| {
                all.extend_from_slice(&array.as_primitive::<Float64Type>().values()[rows]);
            }),
            (None, Some(_)) => {
                let array = self.array(column)?;
                let floats: &Float64Array = array.as_primitive();
                (floats.iter().map(Option::unwrap_or_default).collect(), Valid::of(&array))
            }
        };
        let made = Rc::new(made);
        self.floats.push((column, made.clone()));
        Ok(made)
    }

    /// Running totals of a column's exact numbers.
    pub(crate) fn sums(&mut self, column: usize) -> Result<Rc<Sums>, ArrowError> {
        if let Some((_, found)) = self.sums.iter().find(|(c, _)| *c == column) {
            return Ok(found.clone());
        }
        let made = Rc::new(Sums::new(self, column)?);
        self.sums.push((column, made.clone()));
        Ok(made)
    }

    /// Which rows of a column are there.
    pub(crate) fn valid(&mut self, column: usize) -> Result<Valid, ArrowError> {
        if column >= self.types.len() {
            return Ok(Valid::of(&self.array(column)?));
        }
        let none = |_: &ArrayRef, rows: Range<usize>, all: &mut Vec<()>| {
            all.resize(all.len() + rows.len(), ());
        };
        Ok(self.gathered(column, none).1)
    }
}

/// Totals before each row.
pub(crate) enum Totals {
    Longs(Vec<i64>),
    /// Modular, so differences are exact.
    Wide(Vec<i128>),
}

/// Running totals of a column's exact numbers.
pub(crate) struct Sums {
    pub before: Totals,
    /// Values before each row; empty if all rows have one.
    pub counts: Vec<usize>,
}

impl Sums {
    fn new(columns: &mut Columns<'_>, column: usize) -> Result<Sums, ArrowError> {
        if let Some(longs) = columns.longs(column)
            && let Some(before) = running(&longs.0)
        {
            return Ok(Sums { before: Totals::Longs(before), counts: longs.1.counts() });
        }
        let (values, valid) = columns.exact(column)?;
        let mut before = Vec::with_capacity(values.len() + 1);
        let mut total = 0i128;
        before.push(0);
        for value in &values {
            total = total.wrapping_add(*value);
            before.push(total);
        }
        Ok(Sums { before: Totals::Wide(before), counts: valid.counts() })
    }

    /// Sum and number of values of a frame.
    #[inline]
    pub(crate) fn of(&self, frame: &Range<usize>) -> (i128, usize) {
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

/// Totals before each value and behind the last; `None` if one is beyond 63 bits, so that their
/// differences fit 64.
fn running(values: &[i64]) -> Option<Vec<i64>> {
    let mut before = Vec::with_capacity(values.len() + 1);
    let mut total = 0i64;
    before.push(0);
    for value in values {
        total = total.checked_add(*value)?;
        if total.unsigned_abs() >= 1 << 62 {
            return None;
        }
        before.push(total);
    }
    Some(before)
}

/// Which rows are not null; nothing is stored while all are.
#[derive(Default)]
pub(crate) struct Valid {
    flags: Option<Vec<bool>>,
    len: usize,
}

impl Valid {
    fn of(array: &ArrayRef) -> Valid {
        let mut valid = Valid::default();
        valid.extend(array.nulls().filter(|n| n.null_count() > 0), 0, array.len());
        valid
    }

    fn extend(&mut self, nulls: Option<&NullBuffer>, from: usize, n: usize) {
        if let (None, Some(_)) = (&self.flags, nulls) {
            self.flags = Some(vec![true; self.len]);
        }
        if let Some(flags) = &mut self.flags {
            flags.extend((from..from + n).map(|i| nulls.is_none_or(|nulls| nulls.is_valid(i))));
        }
        self.len += n;
    }

    fn permuted(&self, order: &[u32]) -> Valid {
        let moved = |f: &Vec<bool>| order.iter().map(|i| f[*i as usize]).collect();
        Valid { flags: self.flags.as_ref().map(moved), len: order.len() }
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> bool {
        self.flags.as_ref().is_none_or(|f| f[i])
    }

    /// Whether no row is null.
    pub(crate) fn all(&self) -> bool {
        self.flags.is_none()
    }

    /// Values before each row and behind the last; empty if all rows have one.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let Some(flags) = &self.flags else { return vec![] };
        let mut counts = Vec::with_capacity(flags.len() + 1);
        let mut total = 0;
        counts.push(0);
        for flag in flags {
            total += usize::from(*flag);
            counts.push(total);
        }
        counts
    }
}
