//! The newest version of each key.
//!
//! State is one record per key: the winner so far. Later means greater by (version, admitting log
//! time, path, row number), an order that does not depend on when rows arrive, so any split of the
//! input into times and workers ends in the same state. A version that comes late changes nothing.

use std::collections::HashMap;

use arrangement::{Budget, Lane, Updates};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows as EncodedRows, SortField};
use schemas::Time;
use timely::dataflow::operators::generic::Operator;

use super::source::META_COLUMNS;
use super::{Context, Rows, Whole};
use crate::backlog::Backlog;
use crate::plan::Upsert;
use crate::ports::{PortError, PortErrorKind};
use crate::records::{Record, Records};

/// Rows of a piece of output, about.
const PIECE_ROWS: usize = 1 << 14;

/// Reduce versions (declared columns, then [`META_COLUMNS`]) to current rows (declared columns).
pub(crate) fn render<'s>(
    versions: Rows<'s>,
    upsert: &Upsert,
    schema: &SchemaRef,
    context: &Context,
) -> Rows<'s> {
    let failure = context.failure.clone();
    let mut winners = match Winners::new(upsert, schema, &context.budget) {
        Ok(winners) => Some(winners),
        Err(error) => {
            failure.set(corrupt(error));
            None
        }
    };
    let pact = arrangement::exchange(upsert.key.clone());
    let scope = versions.scope();
    versions.unary_frontier::<Whole, _, _, _>(pact, "Upsert", move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        move |(input, frontier), output| {
            let (Some(held), Some(winners)) = (&mut capability, &mut winners) else { return };
            input.for_each(|_, updates| winners.backlog.push(std::mem::take(updates)));
            let frontier = frontier.frontier().first().copied();
            match winners.step(frontier) {
                Ok(Some((time, mut changes))) => {
                    held.downgrade(&time);
                    output.session_with_builder(&*held).give_container(&mut changes);
                    // Downstream works this off before the next piece is made.
                    activator.activate();
                    return;
                }
                Ok(None) => {}
                Err(error) => failure.set(corrupt(error)),
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

/// A row that was shown, if one was.
type Shown = Option<Box<[u8]>>;

struct Winners {
    upsert: Upsert,
    width: usize,
    keys: RowConverter,
    ranks: RowConverter,
    rows: RowConverter,
    /// A key's newest version: its rank, and its row unless it says the key is deleted.
    state: Records,
    backlog: Backlog,
    /// The time being taken in, or told.
    at: Option<Time>,
    /// There were no records before that time: all are new, and none is noted.
    loading: bool,
    /// What each touched key showed before that time.
    before: HashMap<Box<[u8]>, Shown>,
    /// The next page to be told of a first load.
    page: usize,
}

impl Winners {
    fn new(upsert: &Upsert, schema: &SchemaRef, budget: &Budget) -> Result<Self, ArrowError> {
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
            state: Records::new(budget),
            backlog: Backlog::default(),
            at: None,
            loading: true,
            before: HashMap::new(),
            page: 0,
        })
    }

    /// The next piece of net changes of any time before `frontier`. Nothing can come before it:
    /// what is at it is taken in while it comes.
    fn step(&mut self, frontier: Option<Time>) -> Result<Option<(Time, Updates)>, ArrowError> {
        loop {
            let first = self.backlog.first().filter(|t| frontier.is_none_or(|f| *t <= f));
            let Some(time) = self.at.or(first) else { return Ok(None) };
            if self.at.replace(time).is_none() {
                self.loading = self.state.is_empty();
                self.page = 0;
            }
            for batch in self.backlog.take(time) {
                self.absorb(&batch)?;
            }
            if frontier.is_some_and(|f| time >= f) {
                return Ok(None);
            }
            let told = if self.loading { self.loaded(time)? } else { self.changed(time)? };
            match told {
                Some(changes) => return Ok(Some((time, changes))),
                None => self.at = None,
            }
        }
    }

    /// Rows of a first load, page by page.
    fn loaded(&mut self, time: Time) -> Result<Option<Updates>, ArrowError> {
        while self.page < self.state.pages() {
            let parser = self.rows.parser();
            let rows = self.state.of_page(self.page).filter_map(|r| r.row);
            let rows: Vec<_> = rows.map(|r| parser.parse(r)).collect();
            self.page += 1;
            if !rows.is_empty() {
                let n = rows.len();
                let columns = self.rows.convert_rows(rows)?;
                let (times, count) = (Lane::constant(time, n), Lane::constant(1, n));
                return Ok(Some(Updates::new(columns, times, count)));
            }
        }
        Ok(None)
    }

    /// What is shown of some touched keys, where it is not what was.
    fn changed(&mut self, time: Time) -> Result<Option<Updates>, ArrowError> {
        let (mut rows, mut diffs) = (vec![], vec![]);
        let mut touched: Vec<(Box<[u8]>, Shown)> = vec![];
        while !self.before.is_empty() && diffs.is_empty() {
            let keys: Vec<Box<[u8]>> = self.before.keys().take(PIECE_ROWS).cloned().collect();
            touched = keys.iter().filter_map(|key| self.before.remove_entry(key)).collect();
            for (key, old) in &touched {
                let new = self.state.get(key).and_then(|r| r.row);
                if old.as_deref() != new {
                    diffs.extend(old.iter().map(|_| -1).chain(new.map(|_| 1)));
                }
            }
        }
        let parser = self.rows.parser();
        for (key, old) in &touched {
            let new = self.state.get(key).and_then(|r| r.row);
            if old.as_deref() != new {
                rows.extend(old.as_deref().into_iter().chain(new).map(|r| parser.parse(r)));
            }
        }
        if diffs.is_empty() {
            return Ok(None);
        }
        let columns = self.rows.convert_rows(rows)?;
        Ok(Some(Updates::new(columns, Lane::constant(time, diffs.len()), Lane::each(diffs))))
    }

    /// Take in versions of the time at hand.
    fn absorb(&mut self, batch: &Updates) -> Result<(), ArrowError> {
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
            self.contest(&keys, &ranks, (!gone).then_some(&rows), i);
        }
        Ok(())
    }

    fn contest(
        &mut self,
        keys: &EncodedRows,
        ranks: &EncodedRows,
        rows: Option<&EncodedRows>,
        i: usize,
    ) {
        let (key, rank) = (keys.row(i).data(), ranks.row(i).data());
        let old = self.state.get(key);
        if old.is_some_and(|o| o.rank >= rank) {
            return;
        }
        if !self.loading && !self.before.contains_key(key) {
            self.before.insert(key.into(), old.and_then(|o| o.row).map(Into::into));
        }
        let row = rows.map(|r| r.row(i).data());
        self.state.put(Record { key, rank, row });
    }
}
