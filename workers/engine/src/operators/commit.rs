//! The one committer, on worker 0: gathers what all workers staged and commits it.

use std::cell::Cell;
use std::rc::Rc;

use schemas::Time;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use super::Context;
use super::output::Interval;
use crate::execute::Event;
use crate::ports::{Committer, PortError, PortErrorKind};

/// Commit through `committer` (worker 0 only) every time from `epoch` on that is complete
/// everywhere, and tell `on_event`. `committed` follows.
pub(crate) fn render<'s>(
    staged: Stream<'s, Time, Vec<String>>,
    committer: Option<Box<dyn Committer>>,
    epoch: Time,
    committed: Rc<Cell<Option<Time>>>,
    on_event: Rc<dyn Fn(Event)>,
    context: &Context,
) {
    let failure = context.failure.clone();
    type Nothing = CapacityContainerBuilder<Vec<()>>;
    let pact = Exchange::new(|_: &String| 0);
    staged.unary_frontier::<Nothing, _, _, _>(pact, "Commit", move |capability, _info| {
        drop(capability);
        let mut committing = committer.map(|c| Committing { committer: c, pending: vec![] });
        move |(input, frontier), _output| {
            let Some(committing) = &mut committing else { return };
            input.for_each(|_, intervals| {
                for json in intervals.drain(..) {
                    match serde_json::from_str(&json) {
                        Ok(interval) => committing.pending.push(interval),
                        Err(e) => failure.set(
                            PortError::new(PortErrorKind::Corrupt, "a worker staged nonsense")
                                .with_source(e),
                        ),
                    }
                }
            });
            let complete = frontier.frontier().first().and_then(|f| f.checked_sub(1));
            let due = complete.filter(|t| *t >= epoch && committed.get().is_none_or(|c| c < *t));
            let Some(time) = due.filter(|_| !failure.is_set()) else { return };
            match committing.commit(time) {
                Ok(None) => {}
                Ok(Some(summary)) => {
                    committed.set(Some(time));
                    on_event(summary);
                }
                Err(error) => failure.set(error),
            }
        }
    });
}

struct Committing {
    committer: Box<dyn Committer>,
    pending: Vec<Interval>,
}

impl Committing {
    /// Commit at `time`, unless some worker's files already hold changes beyond it: then a later
    /// time is about to complete that covers both.
    fn commit(&mut self, time: Time) -> Result<Option<Event>, PortError> {
        let straddles =
            |i: &Interval| i.staged.time > time && i.after.is_none_or(|after| after < time);
        if self.pending.iter().any(straddles) {
            return Ok(None);
        }
        let pending = std::mem::take(&mut self.pending);
        let (due, later) = pending.into_iter().partition(|i| i.staged.time <= time);
        self.pending = later;
        let mut staged: Vec<_> = Vec::<Interval>::into_iter(due).map(|i| i.staged).collect();
        staged.sort_by_key(|s| s.time);
        let inserted = staged.iter().map(|s| s.rows_inserted).sum();
        let deleted = staged.iter().map(|s| s.rows_deleted).sum();
        self.committer.commit(time, staged)?;
        Ok(Some(Event::Committed { time, rows_inserted: inserted, rows_deleted: deleted }))
    }
}
