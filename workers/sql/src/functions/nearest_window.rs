//! `nearest_window(x, d, m)`: how far the last d·m values of a frame are from the most similar d·m
//! values before them.
//!
//! A discord distance (Keogh, Lin & Fu 2005, "HOT SAX") with one neighbour and no normalisation,
//! looking back only. The values are cut, from the last one backwards, into m blocks of d; a block
//! is its least and its greatest value, so that a coarse scale still shows one spike. Two windows
//! are as far apart as the root mean square of the differences of their blocks' extremes, in the
//! unit of x. Candidates end at every value at least d·m before the last.
//!
//! Nulls, NaN and infinities are skipped. Null when fewer than 2·d·m values are left. Goes by the
//! order of rows, so only `OVER (… ROWS …)` has a meaning; d and m are whole numbers written out.

use std::collections::VecDeque;
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;

/// Windows of more values than this are refused.
const MOST_VALUES: i64 = 1 << 20;

pub(super) fn function() -> AggregateUDF {
    let arguments = vec![DataType::Float64, DataType::Int64, DataType::Int64];
    AggregateUDF::from(NearestWindow {
        signature: Signature::exact(arguments, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NearestWindow {
    signature: Signature,
}

impl AggregateUDFImpl for NearestWindow {
    fn name(&self) -> &str {
        "nearest_window"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (block, blocks) = (whole(&args.exprs[1])?, whole(&args.exprs[2])?);
        let fits = block.checked_mul(blocks).is_some_and(|n| n <= MOST_VALUES);
        if block < 1 || blocks < 1 || !fits {
            return plan_err!(
                "nearest_window(x, d, m) takes d and m of at least 1 and d * m of at most \
                 {MOST_VALUES}, not {block} and {blocks}"
            );
        }
        let shape = Shape { block: block as usize, blocks: blocks as usize };
        Ok(Box::new(Frame { shape, values: VecDeque::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(DataType::Float64, true);
        Ok(vec![Field::new_list(format!("{}[values]", args.name), item, true).into()])
    }
}

/// The whole number that an argument is written as.
fn whole(argument: &Arc<dyn PhysicalExpr>) -> Result<i64> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    match argument.evaluate(&nothing) {
        Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(value)))) => Ok(value),
        _ => plan_err!("nearest_window(x, d, m) takes whole numbers, written out, for d and m"),
    }
}

/// How a window is cut up.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Values in a block.
    block: usize,
    /// Blocks in a window.
    blocks: usize,
}

/// The finite values of a frame, in its order.
#[derive(Debug)]
struct Frame {
    shape: Shape,
    values: VecDeque<f64>,
}

/// For each value, the extreme of it and the `width` − 1 before it, or of all before it near the
/// start. Each round joins two spans, so it takes log2(width) rounds.
fn running(values: &[f64], width: usize, better: fn(f64, f64) -> f64) -> Vec<f64> {
    let mut extremes = values.to_vec();
    let mut reached = 1;
    while reached < width {
        let step = reached.min(width - reached);
        for i in (step..extremes.len()).rev() {
            extremes[i] = better(extremes[i], extremes[i - step]);
        }
        reached += step;
    }
    extremes
}

/// The distance of the last window of `values` to the nearest one that ends before it starts.
fn nearest(values: &[f64], shape: Shape) -> Option<f64> {
    let width = shape.block * shape.blocks;
    let last = values.len().checked_sub(1).filter(|last| last + 1 >= 2 * width)?;
    let low = running(values, shape.block, f64::min);
    let high = running(values, shape.block, f64::max);
    let mut least = f64::INFINITY;
    for end in (width - 1..=last - width).rev() {
        let mut sum = 0.0;
        for back in (0..shape.blocks).map(|k| k * shape.block) {
            sum += (low[last - back] - low[end - back]).powi(2);
            if shape.block > 1 {
                sum += (high[last - back] - high[end - back]).powi(2);
            }
            if sum >= least {
                break;
            }
        }
        least = least.min(sum);
    }
    let terms = if shape.block > 1 { 2 * shape.blocks } else { shape.blocks };
    Some((least / terms as f64).sqrt())
}

impl Accumulator for Frame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Float64Type>();
        self.values.extend(values.iter().flatten().filter(|v| v.is_finite()));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // Frames slide forward: what leaves is what came first.
        let values = values[0].as_primitive::<Float64Type>();
        let gone = values.iter().flatten().filter(|v| v.is_finite()).count();
        self.values.drain(..gone.min(self.values.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(nearest(self.values.make_contiguous(), self.shape)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> =
            self.values.iter().map(|v| ScalarValue::Float64(Some(*v))).collect();
        let list = ScalarValue::new_list_nullable(&values, &DataType::Float64);
        Ok(vec![ScalarValue::List(list)])
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        exec_err!("nearest_window() goes by the order of rows: use it OVER (… ORDER BY … ROWS …)")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn frame(block: usize, blocks: usize, values: &[f64]) -> Frame {
        Frame { shape: Shape { block, blocks }, values: values.iter().copied().collect() }
    }

    fn distance(block: usize, blocks: usize, values: &[f64]) -> Option<f64> {
        nearest(values, Shape { block, blocks })
    }

    #[test]
    fn of_single_values_it_is_the_gap_to_the_nearest_earlier_one() {
        assert_eq!(distance(1, 1, &[4.0, 9.0, 6.0]), Some(2.0));
        assert_eq!(distance(1, 1, &[6.0]), None);
        assert_eq!(distance(1, 1, &[]), None);
    }

    #[test]
    fn a_window_never_meets_itself() {
        // [3, 4] against [1, 2] and [2, 3] overlaps; only [1, 2] is over before it starts.
        assert_eq!(distance(1, 2, &[1.0, 2.0, 3.0, 4.0]), Some(2.0));
        assert_eq!(distance(1, 2, &[2.0, 3.0, 4.0]), None);
        // sqrt((3² + 1²) / 2), to [0, 5]; [5, 0] is further.
        assert_eq!(distance(1, 2, &[0.0, 5.0, 0.0, 3.0, 4.0]), Some(5.0_f64.sqrt()));
    }

    #[test]
    fn a_block_keeps_its_spike() {
        let calm = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(distance(2, 2, &calm), Some(0.0));
        // Greatest values (0, 8) against (0, 0): sqrt(8² / 4).
        let spike = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 8.0, 0.0];
        assert_eq!(distance(2, 2, &spike), Some(4.0));
    }

    /// The definition: every pair of disjoint windows, every block's extremes from scratch.
    fn meant(values: &[f64], block: usize, blocks: usize) -> Option<f64> {
        let width = block * blocks;
        if values.len() < 2 * width {
            return None;
        }
        let cut = |end: usize| -> Vec<f64> {
            let window = &values[end + 1 - width..=end];
            let extremes = window.rchunks(block).flat_map(|b| {
                let low = b.iter().copied().fold(f64::INFINITY, f64::min);
                let high = b.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                [low, high]
            });
            extremes.collect()
        };
        let last = cut(values.len() - 1);
        let apart = |end: usize| {
            let squares = last.iter().zip(cut(end)).map(|(a, b)| (a - b) * (a - b));
            (squares.sum::<f64>() / last.len() as f64).sqrt()
        };
        (width - 1..values.len() - width).map(apart).reduce(f64::min)
    }

    #[test]
    fn it_is_what_plain_loops_find() {
        let mut rng = StdRng::seed_from_u64(4);
        for _ in 0..500 {
            let values: Vec<f64> = (0..rng.random_range(0..80))
                .map(|_| f64::from(rng.random_range(-9..9)) / 4.0)
                .collect();
            let (block, blocks) = (rng.random_range(1..8), rng.random_range(1..6));
            let (got, meant) = (distance(block, blocks, &values), meant(&values, block, blocks));
            assert_eq!(got.is_some(), meant.is_some());
            if let (Some(got), Some(meant)) = (got, meant) {
                assert!((got - meant).abs() <= 1e-12 * meant, "{got} {meant} {block} {blocks}");
            }
        }
    }

    #[test]
    fn a_frame_that_slid_is_a_frame_from_scratch() {
        let mut rng = StdRng::seed_from_u64(5);
        let odd = [None, Some(f64::NAN), Some(f64::INFINITY)];
        let values: Vec<Option<f64>> = (0..200)
            .map(|i| match rng.random_bool(0.2) {
                true => odd[i % odd.len()],
                false => Some(f64::from(rng.random_range(-50..50))),
            })
            .collect();
        let column = |r: std::ops::Range<usize>| -> Vec<ArrayRef> {
            vec![Arc::new(Float64Array::from(values[r].to_vec()))]
        };
        let mut slid = frame(2, 3, &[]);
        for end in 0..values.len() {
            slid.update_batch(&column(end..end + 1)).expect("a float column");
            if end >= 40 {
                slid.retract_batch(&column(end - 40..end - 39)).expect("a float column");
            }
            let mut fresh = frame(2, 3, &[]);
            let start = (end + 1).saturating_sub(40);
            fresh.update_batch(&column(start..end + 1)).expect("a float column");
            let [slid, fresh] = [&mut slid, &mut fresh].map(|f| f.evaluate().expect("a number"));
            assert_eq!(slid, fresh);
        }
    }
}
