//! Medians of a frame's values. They agree to the bit with the aggregates of the same name that a
//! batch query runs.

/// So few values are sorted.
const FEW: usize = 8;

/// The median of whole numbers, truncated toward zero.
pub(crate) fn median_of_whole(values: &mut [i128]) -> Option<i128> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable(n / 2);
    match n % 2 {
        1 => Some(*upper),
        _ => below.iter().max().map(|lower| (lower + *upper) / 2),
    }
}

/// The two middle values; the same one twice if their number is odd.
fn middle(values: &mut [f64]) -> Option<(f64, f64)> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    if n <= FEW {
        // The same hour of a few weeks: sorting in place is the fastest.
        for i in 1..n {
            let mut j = i;
            while j > 0 && values[j - 1].total_cmp(&values[j]).is_gt() {
                values.swap(j - 1, j);
                j -= 1;
            }
        }
        return Some((values[(n - 1) / 2], values[n / 2]));
    }
    let (below, upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let upper = *upper;
    let lower = match n % 2 {
        1 => upper,
        _ => below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper),
    };
    Some((lower, upper))
}

/// The median of floats, as DataFusion's `median` rounds it.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    let odd = values.len() % 2 == 1;
    middle(values).map(|(lower, upper)| if odd { upper } else { (lower + upper) / 2.0 })
}

/// The median absolute deviation from the median (Hampel 1974), as our `mad` rounds it.
pub(crate) fn deviation(values: &mut [f64]) -> Option<f64> {
    let center = |values: &mut [f64]| {
        let odd = values.len() % 2 == 1;
        middle(values).map(|(l, u)| if odd { u } else { l + (u - l) / 2.0 })
    };
    let median = center(values)?;
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    center(values)
}
