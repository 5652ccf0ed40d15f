//! A view's rows leave the dataflow: every worker stages the files of its share.

use std::cell::RefCell;
use std::rc::Rc;

use arrow::array::RecordBatch;
use schemas::Time;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::operators::generic::Operator;

use super::{Context, Rows};
use crate::backlog::Backlog;
use crate::ports::{PortError, PortErrorKind, Staged, ViewSpec, ViewWriter};

/// What one worker staged, and since when: it covers the changes in (`after`, `staged.time`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Interval {
    pub after: Option<Time>,
    pub staged: Staged,
}

/// Stage `rows` through `writer` whenever a time from `epoch` on is complete. The stream carries
/// [`Interval`]s as JSON.
pub(crate) fn stage<'s>(
    rows: Rows<'s>,
    view: ViewSpec,
    writer: Box<dyn ViewWriter>,
    epoch: Time,
    context: &Context,
) -> Stream<'s, Time, Vec<String>> {
    let writer = Rc::new(RefCell::new(writer));
    let (routing, failure) = (writer.clone(), context.failure.clone());
    let pact = arrangement::exchange_by(move |updates| {
        routing.borrow().route(&updates.columns).unwrap_or_else(|error| {
            failure.set(error);
            vec![0; updates.len()]
        })
    });
    let failure = context.failure.clone();
    let name = format!("Stage {}", view.name);
    type Json = CapacityContainerBuilder<Vec<String>>;
    rows.unary_frontier::<Json, _, _, _>(pact, &name, move |capability, _info| {
        let mut capability = Some(capability);
        let mut staging = Staging {
            view,
            writer,
            epoch,
            staged: None,
            pushed: None,
            backlog: Backlog::default(),
        };
        move |(input, frontier), output| {
            input.for_each(|_, updates| staging.backlog.push(std::mem::take(updates)));
            let frontier = frontier.frontier().first().copied();
            let (Some(held), false) = (&mut capability, failure.is_set()) else { return };
            match staging.advance(frontier) {
                Ok(None) => {}
                Ok(Some((time, interval))) => {
                    held.downgrade(&time);
                    output.session(&*held).give(interval);
                }
                Err(error) => failure.set(error),
            }
            match frontier {
                Some(f) => held.downgrade(&f),
                None => capability = None,
            }
        }
    })
}

struct Staging {
    view: ViewSpec,
    writer: Rc<RefCell<Box<dyn ViewWriter>>>,
    epoch: Time,
    staged: Option<Time>,
    /// A time that is not complete, of which rows were handed on.
    pushed: Option<Time>,
    backlog: Backlog,
}

impl Staging {
    /// Stage the last time before `frontier`, if this worker has something to say about it.
    fn advance(&mut self, frontier: Option<Time>) -> Result<Option<(Time, String)>, PortError> {
        let staged = self.stage(frontier)?;
        // All times before the frontier are staged and none can come before it: what is at it goes
        // on while it comes.
        if let Some(time) = frontier.filter(|t| *t >= self.epoch)
            && self.push(time)?
        {
            self.pushed = Some(time);
        }
        Ok(staged)
    }

    fn stage(&mut self, frontier: Option<Time>) -> Result<Option<(Time, String)>, PortError> {
        let Some(time) = frontier.and_then(|f| f.checked_sub(1)).filter(|t| *t >= self.epoch)
        else {
            return Ok(None);
        };
        let mut changed = self.staged.is_none() || self.pushed.is_some_and(|t| t <= time);
        while let Some(first) = self.backlog.first().filter(|t| *t <= time) {
            changed |= self.push(first)?;
        }
        self.pushed = self.pushed.filter(|t| *t > time);
        if !changed {
            return Ok(None);
        }
        let after = self.staged.replace(time);
        let interval = Interval { after, staged: self.writer.borrow_mut().stage(time)? };
        let json = serde_json::to_string(&interval).map_err(|e| {
            PortError::new(PortErrorKind::Invalid, "staged files cannot be described")
                .with_source(e)
        })?;
        Ok(Some((time, json)))
    }

    /// Hand on what waits of `time`; whether there was any.
    fn push(&mut self, time: Time) -> Result<bool, PortError> {
        let batches = self.backlog.take(time);
        let any = !batches.is_empty();
        for updates in batches {
            let rows = RecordBatch::try_new(self.view.schema.clone(), updates.columns);
            let rows = rows.map_err(|e| {
                let message = format!("view '{}': rows do not fit its schema", self.view.name);
                PortError::new(PortErrorKind::Corrupt, message).with_source(e)
            })?;
            let diffs = updates.count.iter().collect::<Vec<_>>();
            self.writer.borrow_mut().push(rows, &diffs)?;
        }
        Ok(any)
    }
}
