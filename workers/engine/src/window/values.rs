//! Values of functions, and those of the rows that leave.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{kernels::cmp::not_distinct, take};
use arrow::error::ArrowError;

/// One function's values, one per wanted row.
pub(crate) enum Values {
    /// Exact numbers that all fit 64 bits, and are to be Int64.
    Longs(Vec<i64>, Flags),
    Exact(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
    Any(ArrayRef),
}

/// Which values are there; `None` while all are.
pub(crate) type Flags = Option<Vec<bool>>;

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
