//! The newest version of each key.
//!
//! State is one row per key: the winner so far. Later means greater by (version, admitting log
//! time, path, row number), an order that does not depend on when rows arrive, so any split of the
//! input into times and workers ends in the same state. A version that comes late changes nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrangement::{Lane, Updates};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows as EncodedRows, SortField};
use timely::dataflow::operators::generic::Operator;

use super::source::META_COLUMNS;
use super::{Context, Rows, Whole};
use crate::backlog::Backlog;
use crate::plan::Upsert;
use crate::ports::{PortError, PortErrorKind};

/// Reduce versions (declared columns, then [`META_COLUMNS`]) to current rows (declared columns).
pub(crate) fn render<'s>(
    versions: Rows<'s>,
    upsert: &Upsert,
    schema: &SchemaRef,
    context: &Context,
) -> Rows<'s> {
    let failure = context.failure.clone();
    let mut winners = match Winners::new(upsert, schema) {
        Ok(winners) => Some(winners),
        Err(error) => {
            failure.set(corrupt(error));
            None
        }
    };
    let pact = arrangement::exchange(upsert.key.clone());
    versions.unary_frontier::<Whole, _, _, _>(pact, "Upsert", move |capability, _info| {
        let mut capability = Some(capability);
        let mut backlog = Backlog::default();
        move |(input, frontier), output| {
            input.for_each(|_, updates| backlog.push(std::mem::take(updates)));
            let frontier = frontier.frontier().first().copied();
            let Some(held) = &mut capability else { return };
            while let Some((time, batches)) = backlog.next(frontier) {
                let Some(winners) = &mut winners else { break };
                match winners.absorb(batches, time) {
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
    })
}

fn corrupt(error: ArrowError) -> PortError {
    PortError::new(PortErrorKind::Corrupt, "rows of an upsert source cannot be compared")
        .with_source(error)
}

/// A key's newest version: its rank, and its row unless it says the key is deleted.
struct Winner {
    rank: OwnedRow,
    row: Option<OwnedRow>,
}

struct Winners {
    upsert: Upsert,
    width: usize,
    keys: RowConverter,
    ranks: RowConverter,
    rows: RowConverter,
    state: HashMap<OwnedRow, Winner>,
}

impl Winners {
    fn new(upsert: &Upsert, schema: &SchemaRef) -> Result<Self, ArrowError> {
        use arrow::datatypes::DataType::{Int64, Utf8};
        let of = |c: &usize| SortField::new(schema.field(*c).data_type().clone());
        let rank = upsert.version.iter().map(of);
        let meta = [Int64, Utf8, Int64].map(SortField::new);
        Ok(Winners {
            upsert: upsert.clone(),
            width: schema.fields().len(),
            keys: RowConverter::new(upsert.key.iter().map(of).collect())?,
            ranks: RowConverter::new(rank.chain(meta).collect())?,
            rows: RowConverter::new((0..schema.fields().len()).map(|c| of(&c)).collect())?,
            state: HashMap::new(),
        })
    }

    /// Take in all versions of one time; the net change of current rows.
    fn absorb(&mut self, batches: Vec<Updates>, time: u64) -> Result<Option<Updates>, ArrowError> {
        // What each touched key showed before this time.
        let mut before: HashMap<OwnedRow, Option<OwnedRow>> = HashMap::new();
        for batch in &batches {
            self.absorb_batch(batch, &mut before)?;
        }
        let (mut out, mut diffs) = (self.rows.empty_rows(before.len() * 2, 0), vec![]);
        for (key, old) in &before {
            let new = self.state.get(key).and_then(|w| w.row.as_ref());
            if old.as_ref() != new {
                for (row, diff) in old.iter().map(|r| (r, -1)).chain(new.map(|r| (r, 1))) {
                    out.push(row.row());
                    diffs.push(diff);
                }
            }
        }
        if diffs.is_empty() {
            return Ok(None);
        }
        let columns = self.rows.convert_rows(&out)?;
        let times = Lane::constant(time, diffs.len());
        Ok(Some(Updates::new(columns, times, Lane::each(diffs))))
    }

    fn absorb_batch(
        &mut self,
        batch: &Updates,
        before: &mut HashMap<OwnedRow, Option<OwnedRow>>,
    ) -> Result<(), ArrowError> {
        let pick = |columns: &[usize]| -> Vec<ArrayRef> {
            columns.iter().map(|c| batch.columns[*c].clone()).collect()
        };
        let keys = self.keys.convert_columns(&pick(&self.upsert.key))?;
        let meta: Vec<usize> = (self.width..self.width + META_COLUMNS).collect();
        let rank: Vec<usize> = self.upsert.version.into_iter().chain(meta).collect();
        let ranks = self.ranks.convert_columns(&pick(&rank))?;
        let rows = self.rows.convert_columns(&batch.columns[..self.width])?;
        let deleted = self.upsert.deleted.map(|c| batch.columns[c].as_boolean().clone());
        for i in 0..batch.len() {
            let gone = deleted.as_ref().is_some_and(|d| d.is_valid(i) && d.value(i));
            self.contest(&keys, &ranks, (!gone).then_some(&rows), i, before);
        }
        Ok(())
    }

    fn contest(
        &mut self,
        keys: &EncodedRows,
        ranks: &EncodedRows,
        rows: Option<&EncodedRows>,
        i: usize,
        before: &mut HashMap<OwnedRow, Option<OwnedRow>>,
    ) {
        let rank = ranks.row(i);
        let row = || rows.map(|r| r.row(i).owned());
        match self.state.entry(keys.row(i).owned()) {
            Entry::Vacant(slot) => {
                before.entry(slot.key().clone()).or_insert(None);
                slot.insert(Winner { rank: rank.owned(), row: row() });
            }
            Entry::Occupied(mut slot) if slot.get().rank.row() < rank => {
                let key = slot.key().clone();
                let old = slot.insert(Winner { rank: rank.owned(), row: row() });
                before.entry(key).or_insert(old.row);
            }
            Entry::Occupied(_) => {}
        }
    }
}
