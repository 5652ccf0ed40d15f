//! Rows laid one behind the other, and the columns of a chunk made of them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;

use super::merge::CHUNK_ROWS;
use super::order::{By, compare_once, longs, subs};

/// Some rows of one of two sources: source, first row, rows.
pub(crate) type Run = (usize, usize, usize);

/// Rows laid one behind the other, as runs of two sources.
#[derive(Default)]
pub(crate) struct Laid {
    runs: Vec<Run>,
    pub len: usize,
}

impl Laid {
    pub(crate) fn add(&mut self, source: usize, row: usize, rows: usize) {
        self.len += rows;
        match self.runs.last_mut() {
            _ if rows == 0 => {}
            Some((s, first, n)) if *s == source && *first + *n == row => *n += rows,
            _ => self.runs.push((source, row, rows)),
        }
    }

    /// The runs of the rows `part`.
    pub(crate) fn part(&self, part: &Range<usize>) -> Vec<Run> {
        let mut at = 0;
        let mut runs = vec![];
        for (source, first, rows) in &self.runs {
            let (from, to) = (part.start.max(at), part.end.min(at + rows));
            if from < to {
                runs.push((*source, first + from - at, to - from));
            }
            at += rows;
        }
        runs
    }

    /// Source and row of a row.
    fn place(&self, row: usize) -> (usize, usize) {
        let mut at = 0;
        for (source, first, rows) in &self.runs {
            if row < at + rows {
                return (*source, first + row - at);
            }
            at += rows;
        }
        (0, 0)
    }

    /// Cuts into chunks. Copies of one row, by the columns `by`, stay together.
    pub(crate) fn parts(
        &self,
        sources: [&[ArrayRef]; 2],
        by: &[By],
    ) -> Result<Vec<Range<usize>>, ArrowError> {
        if self.len <= 2 * CHUNK_ROWS {
            return Ok(std::iter::once(0..self.len).filter(|r| !r.is_empty()).collect());
        }
        let mut parts = vec![];
        let mut start = 0;
        while start < self.len {
            let mut end = (start + CHUNK_ROWS).min(self.len);
            while end < self.len {
                let (before, at) = (self.place(end - 1), self.place(end));
                let (left, right) = ((sources[before.0], before.1), (sources[at.0], at.1));
                if compare_once(left, right, by)?.is_ne() {
                    break;
                }
                end += 1;
            }
            parts.push(start..end);
            start = end;
        }
        Ok(parts)
    }
}

/// How the columns of a chunk are made.
trait Made {
    /// Append the wanted integers of a column.
    fn longs(&self, column: usize, all: &mut Vec<i64>) -> bool;
    /// The wanted rows of a column that is not of integers.
    fn other(&self, column: usize) -> Result<ArrayRef, ArrowError>;
}

/// All columns of a chunk of `rows` rows. Columns of 64-bit integers share one allocation.
fn made(like: &[ArrayRef], rows: usize, how: &impl Made) -> Result<Vec<ArrayRef>, ArrowError> {
    let wide = like.iter().filter(|c| longs(c).is_some()).count();
    let mut all: Vec<i64> = Vec::with_capacity(wide * rows);
    let shared: Vec<Option<usize>> = (0..like.len())
        .map(|c| {
            let start = all.len();
            how.longs(c, &mut all).then_some(start)
        })
        .collect();
    let all = ScalarBuffer::from(all);
    let column = |(c, start): (usize, &Option<usize>)| -> Result<ArrayRef, ArrowError> {
        let Some(start) = start else { return how.other(c) };
        let values = all.slice(*start, rows);
        Ok(match like[c].data_type() {
            DataType::Int64 => Arc::new(PrimitiveArray::<Int64Type>::new(values, None)),
            t => {
                let array = PrimitiveArray::<TimestampMicrosecondType>::new(values, None);
                Arc::new(array.with_data_type(t.clone()))
            }
        })
    };
    shared.iter().enumerate().map(column).collect()
}

struct Joined<'a> {
    sources: [&'a [ArrayRef]; 2],
    runs: &'a [Run],
    rows: usize,
}

impl Made for Joined<'_> {
    fn longs(&self, column: usize, all: &mut Vec<i64>) -> bool {
        let sources = self.sources.map(|s| &s[column]);
        let (Some(a), Some(b)) = (longs(sources[0]), longs(sources[1])) else { return false };
        if sources.iter().any(|s| s.null_count() > 0) {
            return false;
        }
        for (source, first, n) in self.runs {
            let from = if *source == 0 { a } else { b };
            all.extend_from_slice(&from[*first..first + n]);
        }
        true
    }

    fn other(&self, column: usize) -> Result<ArrayRef, ArrowError> {
        let sources = self.sources.map(|s| &s[column]);
        if sources[0].data_type() == &DataType::UInt32
            && sources.iter().all(|s| s.null_count() == 0)
        {
            let numbers = sources.map(subs);
            let mut all: Vec<u32> = Vec::with_capacity(self.rows);
            for (source, first, n) in self.runs {
                all.extend_from_slice(&numbers[*source][*first..first + n]);
            }
            return Ok(Arc::new(UInt32Array::from(all)));
        }
        let row = |(source, first, n): &Run| {
            let source = *source;
            (*first..first + n).map(move |i| (source, i))
        };
        let rows: Vec<(usize, usize)> = self.runs.iter().flat_map(row).collect();
        interleave(&[sources[0].as_ref(), sources[1].as_ref()], &rows)
    }
}

/// The columns of `rows` rows of two sources, as `runs` say.
pub(crate) fn joined(
    sources: [&[ArrayRef]; 2],
    runs: &[Run],
    rows: usize,
) -> Result<Vec<ArrayRef>, ArrowError> {
    made(sources[1], rows, &Joined { sources, runs, rows })
}

struct Taken<'a> {
    columns: &'a [ArrayRef],
    rows: &'a [u32],
}

impl Made for Taken<'_> {
    fn longs(&self, column: usize, all: &mut Vec<i64>) -> bool {
        let column = &self.columns[column];
        let Some(values) = longs(column).filter(|_| column.null_count() == 0) else { return false };
        all.extend(self.rows.iter().map(|i| values[*i as usize]));
        true
    }

    fn other(&self, column: usize) -> Result<ArrayRef, ArrowError> {
        let column = &self.columns[column];
        if column.data_type() == &DataType::UInt32 && column.null_count() == 0 {
            let numbers = column.as_primitive::<UInt32Type>().values();
            let taken = self.rows.iter().map(|i| numbers[*i as usize]);
            return Ok(Arc::new(UInt32Array::from_iter_values(taken)));
        }
        take(column, &UInt32Array::from(self.rows.to_vec()), None)
    }
}

/// The columns of some rows.
pub(crate) fn taken(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
    made(columns, rows.len(), &Taken { columns, rows })
}
