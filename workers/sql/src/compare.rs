//! Two tables as multisets.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// How far two floats may be apart, in units of the greater magnitude in their column: they are
/// sums of the same terms in another order, each addition rounding by at most 2^-53, so thousands
/// of terms stay within it. Everything that is no float has to be equal to the bit.
pub const FLOAT_TOLERANCE: f64 = 1e-12;

/// A row that one side has and the other has not, or not as often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The row, for a person.
    pub row: String,
    /// Whether the maintained side has it (else the recomputed side).
    pub maintained: bool,
}

/// The rows of `maintained` and `recomputed` that have no partner on the other side, at most
/// `limit`, and how many there are in all.
///
/// # Errors
/// Columns that cannot be compared.
pub fn compare(
    schema: &SchemaRef,
    maintained: &[RecordBatch],
    recomputed: &[RecordBatch],
    limit: usize,
) -> Result<(usize, Vec<Difference>), ArrowError> {
    let left = arrow::compute::concat_batches(schema, maintained)?;
    let right = arrow::compute::concat_batches(schema, recomputed)?;
    let floating = |t: &DataType| matches!(t, DataType::Float32 | DataType::Float64);
    let (floats, exact): (Vec<usize>, Vec<usize>) =
        (0..schema.fields().len()).partition(|i| floating(schema.field(*i).data_type()));
    let scales = floats.iter().map(|c| Ok(scale(left.column(*c))?.max(scale(right.column(*c))?)));
    let scales = scales.collect::<Result<Vec<f64>, ArrowError>>()?;
    let converter = RowConverter::new(
        exact.iter().map(|c| SortField::new(schema.field(*c).data_type().clone())).collect(),
    )?;
    let (l, r) =
        (groups(&left, &converter, &exact, &floats)?, groups(&right, &converter, &exact, &floats)?);
    let mut found = Found { count: 0, rows: vec![], limit };
    for (key, rows) in &l {
        let others = r.get(key).map_or(&[][..], Vec::as_slice);
        let (only_left, only_right) = unmatched(rows, others, &scales);
        found.add(&left, only_left, true)?;
        found.add(&right, only_right, false)?;
    }
    for (_, rows) in r.iter().filter(|(key, _)| !l.contains_key(*key)) {
        found.add(&right, rows.iter().map(|r| r.1).collect(), false)?;
    }
    Ok((found.count, found.rows))
}

/// A row's floats, and its position.
type Floats = (Vec<Option<f64>>, usize);

fn scale(column: &ArrayRef) -> Result<f64, ArrowError> {
    let column = cast(column, &DataType::Float64)?;
    let finite = column.as_primitive::<Float64Type>().iter().flatten().filter(|v| v.is_finite());
    Ok(finite.fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs())))
}

fn groups(
    batch: &RecordBatch,
    converter: &RowConverter,
    exact: &[usize],
    floats: &[usize],
) -> Result<BTreeMap<Vec<u8>, Vec<Floats>>, ArrowError> {
    let columns = |of: &[usize]| of.iter().map(|c| batch.column(*c).clone()).collect::<Vec<_>>();
    let keys = match exact.is_empty() {
        true => None,
        false => Some(converter.convert_columns(&columns(exact))?),
    };
    let values = floats.iter().map(|c| cast(batch.column(*c), &DataType::Float64));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let mut groups: BTreeMap<Vec<u8>, Vec<Floats>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let key = keys.as_ref().map_or(vec![], |k| k.row(row).as_ref().to_vec());
        let value = |c: &ArrayRef| {
            let c = c.as_primitive::<Float64Type>();
            c.is_valid(row).then(|| c.value(row))
        };
        groups.entry(key).or_default().push((values.iter().map(value).collect(), row));
    }
    Ok(groups)
}

/// Rows of either side without a partner; greedy, which is exact where floats are further apart
/// than the tolerance.
fn unmatched(left: &[Floats], right: &[Floats], scales: &[f64]) -> (Vec<usize>, Vec<usize>) {
    let close = |a: &Option<f64>, b: &Option<f64>, scale: f64| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
        (Some(a), Some(b)) => a == b || (a - b).abs() <= FLOAT_TOLERANCE * scale,
        _ => false,
    };
    let same = |a: &Floats, b: &Floats| {
        a.0.iter().zip(&b.0).zip(scales).all(|((a, b), scale)| close(a, b, *scale))
    };
    let mut free: Vec<&Floats> = right.iter().collect();
    let mut only_left = vec![];
    for row in left {
        match free.iter().position(|other| same(row, other)) {
            Some(at) => drop(free.swap_remove(at)),
            None => only_left.push(row.1),
        }
    }
    (only_left, free.into_iter().map(|r| r.1).collect())
}

struct Found {
    count: usize,
    rows: Vec<Difference>,
    limit: usize,
}

impl Found {
    fn add(
        &mut self,
        batch: &RecordBatch,
        rows: Vec<usize>,
        maintained: bool,
    ) -> Result<(), ArrowError> {
        self.count += rows.len();
        for row in rows.into_iter().take(self.limit.saturating_sub(self.rows.len())) {
            let options = FormatOptions::default().with_null("null");
            let mut cells = vec![];
            for (column, field) in batch.columns().iter().zip(batch.schema().fields()) {
                let value = ArrayFormatter::try_new(column.as_ref(), &options)?;
                cells.push(format!("{}={}", field.name(), value.value(row)));
            }
            self.rows.push(Difference { row: cells.join(", "), maintained });
        }
        Ok(())
    }
}
