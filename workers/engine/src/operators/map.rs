//! Filter and project: no state, one pass over whole batches.
//!
//! A row on which an expression fails becomes a fault, and only that row: a batch that fails as a
//! whole is evaluated again row by row. The same row fails at its retraction too, so the fault is
//! retracted with its cause.

use arrangement::{Lane, Updates};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::DataFusionError;
use datafusion_physical_expr::expressions::Column;
use schemas::normal::normalize;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{Rendered, Rows, Whole};
use crate::faults::fault_columns;
use crate::plan::Expr;
use crate::ports::Fault;

/// The work of one `Map` node.
pub(crate) struct Mapping {
    pub view: String,
    pub input: SchemaRef,
    pub output: SchemaRef,
    pub predicate: Option<Expr>,
    pub columns: Vec<Expr>,
}

/// Render a `Map` node.
pub(crate) fn render<'s>(rows: Rows<'s>, mapping: Mapping) -> Rendered<'s> {
    let mut builder = OperatorBuilder::new("Map".into(), rows.scope());
    let mut input = builder.new_input(rows, Pipeline);
    let (out, mapped) = builder.new_output::<Updates>();
    let (bad, faults) = builder.new_output::<Updates>();
    let mut out = OutputBuilder::<_, Whole>::from(out);
    let mut bad = OutputBuilder::<_, Whole>::from(bad);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_frontiers| {
            let (mut out, mut bad) = (out.activate(), bad.activate());
            input.for_each(|capability, updates| {
                let (mut mapped, faults) = mapping.apply(updates);
                if !mapped.is_empty() {
                    out.session_with_builder(&capability).give_container(&mut mapped);
                }
                if let Some(mut faults) = faults {
                    bad.session_with_builder(&capability).give_container(&mut faults);
                }
            });
        }
    });
    Rendered { rows: mapped, faults: vec![faults] }
}

/// Why a batch could not be evaluated, and in which column.
struct Failed {
    column: String,
    error: DataFusionError,
}

impl Mapping {
    /// The mapped rows, and the rows that failed as changes to the faults view.
    pub(crate) fn apply(&self, updates: &Updates) -> (Updates, Option<Updates>) {
        if let Ok(mapped) = self.evaluate(updates) {
            return (mapped, None);
        }
        let (mut good, mut bad) = (vec![], vec![]);
        let (mut faults, mut failed_rows) = (vec![], vec![]);
        for row in 0..updates.len() {
            match self.evaluate(&updates.slice(row, 1)) {
                Ok(mapped) => good.push(mapped),
                Err(failed) => bad.push((row, failed)),
            }
        }
        for (row, failed) in bad {
            faults.push(self.fault(updates, row, &failed));
            failed_rows.push(u32::try_from(row).expect("a batch has fewer than 2^32 rows"));
        }
        let faults = updates.take(failed_rows).with_columns(fault_columns(&faults));
        (Updates::concat(&good), Some(faults))
    }

    fn evaluate(&self, updates: &Updates) -> Result<Updates, Failed> {
        let options = RecordBatchOptions::new().with_row_count(Some(updates.len()));
        let batch = RecordBatch::try_new_with_options(
            self.input.clone(),
            updates.columns.clone(),
            &options,
        );
        let batch = batch.map_err(|e| Failed { column: String::new(), error: e.into() })?;
        let Some(predicate) = &self.predicate else {
            return Ok(updates.with_columns(self.project(&batch)?));
        };
        let failed = |error| Failed { column: predicate.to_string(), error };
        let keep = predicate.evaluate(&batch).map_err(failed)?;
        let keep = keep.into_array(batch.num_rows()).map_err(failed)?;
        let keep = certain(keep.as_boolean());
        if keep.true_count() == batch.num_rows() {
            return Ok(updates.with_columns(self.project(&batch)?));
        }
        let error = |e: ArrowError| failed(e.into());
        let kept = arrow::compute::filter_record_batch(&batch, &keep).map_err(error)?;
        let columns = self.project(&kept)?;
        Ok(Updates::new(
            columns,
            filter_lane(&updates.times, &keep),
            filter_lane(&updates.count, &keep),
        ))
    }

    fn project(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Failed> {
        let one = |(i, expr): (usize, &Expr)| {
            let field = self.output.field(i);
            let value = || -> Result<ArrayRef, DataFusionError> {
                let array = expr.evaluate(batch)?.into_array(batch.num_rows())?;
                if expr.downcast_ref::<Column>().is_some() && array.data_type() == field.data_type()
                {
                    return Ok(array);
                }
                let array = normalize(&array)?;
                match array.data_type() == field.data_type() {
                    true => Ok(array),
                    false => Ok(cast(&array, field.data_type())?),
                }
            };
            value().map_err(|error| Failed { column: field.name().clone(), error })
        };
        self.columns.iter().enumerate().map(one).collect()
    }

    fn fault(&self, updates: &Updates, row: usize, failed: &Failed) -> Fault {
        let reason =
            format!("{}, in row {}", failed.error.strip_backtrace(), self.show(updates, row));
        Fault {
            origin: self.view.clone(),
            file: String::new(),
            row: None,
            column: failed.column.clone(),
            reason,
        }
    }

    /// The row's values, for a person.
    fn show(&self, updates: &Updates, row: usize) -> String {
        let options = FormatOptions::default().with_null("null");
        let one = |(i, c): (usize, &ArrayRef)| {
            let value =
                ArrayFormatter::try_new(c.as_ref(), &options).map(|f| f.value(row).to_string());
            format!("{}={}", self.input.field(i).name(), value.unwrap_or_default())
        };
        let values: Vec<String> = updates.columns.iter().enumerate().map(one).collect();
        format!("({})", values.join(", "))
    }
}

/// Null is not true.
fn certain(mask: &BooleanArray) -> BooleanArray {
    match mask.null_count() {
        0 => mask.clone(),
        _ => arrow::compute::prep_null_mask_filter(mask),
    }
}

fn filter_lane<T: arrow::datatypes::ArrowNativeType + PartialEq>(
    lane: &Lane<T>,
    keep: &BooleanArray,
) -> Lane<T> {
    match lane {
        Lane::Constant { value, .. } => Lane::constant(*value, keep.true_count()),
        Lane::Each(values) => {
            let kept = values.iter().zip(keep.values().iter()).filter(|(_, k)| *k);
            Lane::Each(kept.map(|(v, _)| *v).collect())
        }
    }
}

/// Split rows whose last column (text) is not null off as faults of `view`; the others lose it.
pub(crate) fn split_faults<'s>(rows: Rows<'s>, view: String, origin: &'static str) -> Rendered<'s> {
    split(rows, move |updates| split_last(updates, &view, origin))
}

/// Part changes into rows and faults.
pub(crate) fn split<'s>(
    rows: Rows<'s>,
    part: impl Fn(&Updates) -> (Updates, Option<Updates>) + 'static,
) -> Rendered<'s> {
    let mut builder = OperatorBuilder::new("SplitFaults".into(), rows.scope());
    let mut input = builder.new_input(rows, Pipeline);
    let (out, good) = builder.new_output::<Updates>();
    let (bad, faults) = builder.new_output::<Updates>();
    let mut out = OutputBuilder::<_, Whole>::from(out);
    let mut bad = OutputBuilder::<_, Whole>::from(bad);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_frontiers| {
            let (mut out, mut bad) = (out.activate(), bad.activate());
            input.for_each(|capability, updates| {
                let (mut good, faults) = part(updates);
                if !good.is_empty() {
                    out.session_with_builder(&capability).give_container(&mut good);
                }
                if let Some(mut faults) = faults {
                    bad.session_with_builder(&capability).give_container(&mut faults);
                }
            });
        }
    });
    Rendered { rows: good, faults: vec![faults] }
}

fn split_last(updates: &Updates, view: &str, origin: &str) -> (Updates, Option<Updates>) {
    let (reason, columns) = updates.columns.split_last().expect("rows carry a fault column");
    let rest = updates.with_columns(columns.to_vec());
    if reason.null_count() == reason.len() {
        return (rest, None);
    }
    let (good, bad): (Vec<u32>, Vec<u32>) =
        (0u32..).take(updates.len()).partition(|i| reason.is_null(*i as usize));
    let reasons = reason.as_string::<i32>();
    let fault = |i: &u32| Fault {
        origin: view.to_string(),
        file: String::new(),
        row: None,
        column: origin.to_string(),
        reason: reasons.value(*i as usize).to_string(),
    };
    let faults: Vec<Fault> = bad.iter().map(fault).collect();
    (rest.take(good), Some(rest.take(bad).with_columns(fault_columns(&faults))))
}
