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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::ports::Staged;

    type Commits = Rc<RefCell<Vec<(Time, Vec<Time>)>>>;

    struct Recording(Commits);

    impl Committer for Recording {
        fn commit(&mut self, time: Time, staged: Vec<Staged>) -> Result<(), PortError> {
            self.0.borrow_mut().push((time, staged.iter().map(|s| s.time).collect()));
            Ok(())
        }
    }

    fn interval(after: Option<Time>, time: Time) -> Interval {
        let files = serde_json::Value::Null;
        let view = "v".to_string();
        let staged = Staged { view, time, rows_inserted: 1, rows_deleted: 0, files };
        Interval { after, staged }
    }

    /// Commit at each of `times` what the workers staged; what was committed when.
    fn committed(pending: Vec<Interval>, times: &[Time]) -> Vec<(Time, Vec<Time>)> {
        let commits = Commits::default();
        let mut committing =
            Committing { committer: Box::new(Recording(commits.clone())), pending };
        for time in times {
            committing.commit(*time).expect("it records");
        }
        commits.take()
    }

    #[test]
    fn a_file_that_reaches_beyond_a_time_is_never_committed_at_it() {
        // One worker staged 5 and 9, the other was slower and staged 7 at once.
        let pending = || vec![interval(None, 5), interval(Some(5), 9), interval(None, 7)];
        assert_eq!(committed(pending(), &[7]), []);
        assert_eq!(committed(pending(), &[7, 9]), [(9, vec![5, 7, 9])]);
    }

    #[test]
    fn a_file_that_begins_after_a_time_waits_for_its_own() {
        let pending = vec![interval(None, 5), interval(Some(5), 9), interval(None, 5)];
        assert_eq!(committed(pending, &[5, 9]), [(5, vec![5, 5]), (9, vec![9])]);
    }
}
