//! One row per key: the first counts, the others are faults.
//!
//! First means least by (admitting log time, path, row number), an order that does not depend on
//! when rows arrive. Rows may be taken back: then the next one counts, and its fault goes. State is
//! every row of every key.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrangement::{Lane, Updates};
use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use schemas::{Diff, Time};
use timely::dataflow::operators::generic::Operator;

use super::map::split;
use super::source::{META_COLUMNS, history_schema};
use super::{Context, Rendered, Rows, Whole};
use crate::backlog::Backlog;
use crate::faults::fault_columns;
use crate::ports::{Fault, PortError, PortErrorKind};

/// The first row (columns of `schema`) of each `key`, of rows of `source` that carry
/// [`META_COLUMNS`] more.
pub(crate) fn render<'s>(
    rows: Rows<'s>,
    source: &str,
    key: &[usize],
    schema: &SchemaRef,
    context: &Context,
) -> Rendered<'s> {
    let failure = context.failure.clone();
    let corrupt = |error: ArrowError| {
        PortError::new(PortErrorKind::Corrupt, "rows of a source cannot be compared")
            .with_source(error)
    };
    let mut groups = Groups::new(key, schema);
    let pact = arrangement::exchange(key.to_vec());
    let ranked = rows.unary_frontier::<Whole, _, _, _>(pact, "Unique", move |capability, _info| {
        let mut capability = Some(capability);
        let mut backlog = Backlog::default();
        move |(input, frontier), output| {
            input.for_each(|_, updates| backlog.push(std::mem::take(updates)));
            let frontier = frontier.frontier().first().copied();
            let Some(held) = &mut capability else { return };
            while let Some((time, batches)) = backlog.next(frontier) {
                let changes = groups.as_mut().map_err(|e| ArrowError::SchemaError(e.to_string()));
                match changes.and_then(|groups| groups.absorb(&batches, time)) {
                    Ok(Some(mut changes)) => {
                        held.downgrade(&time);
                        output.session_with_builder(&*held).give_container(&mut changes);
                    }
                    Ok(None) => {}
                    Err(error) => failure.set(corrupt(error)),
                }
            }
            match frontier {
                Some(f) => held.downgrade(&f),
                None => capability = None,
            }
        }
    });
    let names = key.iter().map(|c| schema.field(*c).name().as_str());
    let (source, column) = (source.to_string(), names.collect::<Vec<_>>().join(", "));
    split(ranked, move |updates| parted(updates, &source, &column))
}

/// Where a row comes from: admitting time, path, row number.
type Rank = (i64, String, i64);

/// All rows of each key, in order.
struct Groups {
    key: Vec<usize>,
    keys: RowConverter,
    /// Declared columns and [`META_COLUMNS`].
    rows: RowConverter,
    width: usize,
    state: HashMap<OwnedRow, BTreeMap<Rank, OwnedRow>>,
}

impl Groups {
    fn new(key: &[usize], schema: &SchemaRef) -> Result<Self, ArrowError> {
        let all = history_schema(schema);
        let of = |c: usize| SortField::new(all.field(c).data_type().clone());
        Ok(Groups {
            key: key.to_vec(),
            keys: RowConverter::new(key.iter().map(|c| of(*c)).collect())?,
            rows: RowConverter::new((0..all.fields().len()).map(of).collect())?,
            width: schema.fields().len(),
            state: HashMap::new(),
        })
    }

    /// Take in all changes of one time; the net change of rows, each with what it repeats.
    fn absorb(&mut self, batches: &[Updates], time: Time) -> Result<Option<Updates>, ArrowError> {
        let mut before: HashMap<OwnedRow, BTreeMap<Rank, OwnedRow>> = HashMap::new();
        for batch in batches {
            self.absorb_batch(batch, &mut before)?;
        }
        let (mut out, mut first, mut diffs) = (self.rows.empty_rows(0, 0), vec![], vec![]);
        let mut give = |group: &BTreeMap<Rank, OwnedRow>, diff: Diff| {
            let leads = group.keys().next().map(|(_, path, row)| format!("row {row} of '{path}'"));
            for (i, row) in group.values().enumerate() {
                out.push(row.row());
                first.push(leads.clone().filter(|_| i > 0));
                diffs.push(diff);
            }
        };
        for (key, old) in &before {
            let new = self.state.get(key);
            if new != Some(old) {
                give(old, -1);
                if let Some(new) = new {
                    give(new, 1);
                }
            }
            if new.is_some_and(BTreeMap::is_empty) {
                self.state.remove(key);
            }
        }
        if diffs.is_empty() {
            return Ok(None);
        }
        let mut columns = self.rows.convert_rows(&out)?;
        columns.push(Arc::new(StringArray::from(first)) as ArrayRef);
        let times = Lane::constant(time, diffs.len());
        Ok(Some(Updates::new(columns, times, Lane::each(diffs))))
    }

    fn absorb_batch(
        &mut self,
        batch: &Updates,
        before: &mut HashMap<OwnedRow, BTreeMap<Rank, OwnedRow>>,
    ) -> Result<(), ArrowError> {
        let key: Vec<ArrayRef> = self.key.iter().map(|c| batch.columns[*c].clone()).collect();
        let keys = self.keys.convert_columns(&key)?;
        let rows = self.rows.convert_columns(&batch.columns)?;
        let admitted = batch.columns[self.width].as_primitive::<Int64Type>();
        let paths = batch.columns[self.width + 1].as_string::<i32>();
        let numbers = batch.columns[self.width + 2].as_primitive::<Int64Type>();
        for (i, diff) in batch.count.iter().enumerate() {
            let group = match self.state.entry(keys.row(i).owned()) {
                Entry::Vacant(slot) => {
                    before.entry(slot.key().clone()).or_default();
                    slot.insert(BTreeMap::new())
                }
                Entry::Occupied(slot) => {
                    before.entry(slot.key().clone()).or_insert_with(|| slot.get().clone());
                    slot.into_mut()
                }
            };
            let rank = (admitted.value(i), paths.value(i).to_string(), numbers.value(i));
            match diff > 0 {
                true => group.insert(rank, rows.row(i).owned()),
                // What is taken back may come before what is given: each has its own rank.
                false => group.remove(&rank),
            };
        }
        Ok(())
    }
}

/// Rows of which the last column says what they repeat become faults; the others lose their
/// [`META_COLUMNS`].
fn parted(updates: &Updates, source: &str, column: &str) -> (Updates, Option<Updates>) {
    let width = updates.columns.len() - META_COLUMNS - 1;
    let first = updates.columns[width + META_COLUMNS].as_string::<i32>();
    let (paths, numbers) = (&updates.columns[width + 1], &updates.columns[width + 2]);
    let (paths, numbers) = (paths.as_string::<i32>(), numbers.as_primitive::<Int64Type>());
    let (good, bad): (Vec<u32>, Vec<u32>) =
        (0u32..).take(updates.len()).partition(|i| first.is_null(*i as usize));
    let fault = |i: &u32| Fault {
        origin: source.to_string(),
        file: paths.value(*i as usize).to_string(),
        row: u64::try_from(numbers.value(*i as usize)).ok(),
        column: column.to_string(),
        reason: format!("repeats the key of {}, which counts", first.value(*i as usize)),
    };
    let faults: Vec<Fault> = bad.iter().map(fault).collect();
    let rows = updates.with_columns(updates.columns[..width].to_vec()).take(good);
    let faults = (!bad.is_empty()).then(|| updates.take(bad).with_columns(fault_columns(&faults)));
    (rows, faults)
}
