//! `OVER`: rows meet by partition, times are worked off in order, output leaves in pieces.

use arrangement::Updates;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use schemas::Time;
use timely::dataflow::operators::generic::Operator as _;

use super::map::split_faults;
use super::{Context, Rendered, Rows, Whole};
use crate::backlog::Backlog;
use crate::plan::{Node, Operator};
use crate::ports::{PortError, PortErrorKind};
use crate::window::WindowState;

/// Render a `Window` node over rows of `input`.
///
/// # Errors
/// `Invalid` for frames that the order columns do not allow.
pub(crate) fn render<'s>(
    rows: Rows<'s>,
    input: &SchemaRef,
    node: &Node,
    context: &Context,
) -> Result<Rendered<'s>, PortError> {
    let Operator::Window { partition, order, derived, functions } = &node.operator else {
        return Err(PortError::new(PortErrorKind::Invalid, "not a window node"));
    };
    let view = node.view.clone();
    let failed = move |error: ArrowError| {
        let message = format!("view '{view}': its window cannot be computed: {error}");
        PortError::new(PortErrorKind::Invalid, message)
    };
    let state = WindowState::new(input, partition, order, derived, functions, &context.budget)
        .map_err(&failed)?;
    let failure = context.failure.clone();
    let pact = arrangement::exchange(partition.clone());
    let scope = rows.scope();
    let windowed =
        rows.unary_frontier::<Whole, _, _, _>(pact, "Window", move |capability, info| {
            let activator = scope.activator_for(info.address);
            let mut capability = Some(capability);
            let mut working =
                Working { state, backlog: Backlog::default(), loaded: None, at: None };
            move |(input, frontier), output| {
                input.for_each(|_, updates| working.backlog.push(std::mem::take(updates)));
                let frontier = frontier.frontier().first().copied();
                let Some(held) = &mut capability else { return };
                match working.step(frontier) {
                    Ok(Some(mut changes)) => {
                        if let Some(time) = working.at {
                            held.downgrade(&time);
                        }
                        output.session_with_builder(&*held).give_container(&mut changes);
                        // Downstream works this off before the next piece is made.
                        activator.activate();
                        return;
                    }
                    Ok(None) => {}
                    Err(error) => failure.set(failed(error)),
                }
                match frontier {
                    Some(f) => held.downgrade(&f),
                    None => capability = None,
                }
            }
        });
    Ok(split_faults(windowed, node.view.clone(), "window"))
}

struct Working {
    state: WindowState,
    backlog: Backlog,
    /// The time of a first load that is not complete yet.
    loaded: Option<Time>,
    /// The time being worked off.
    at: Option<Time>,
}

impl Working {
    /// The next piece of output of any time before `frontier`.
    fn step(&mut self, frontier: Option<Time>) -> Result<Option<Updates>, ArrowError> {
        loop {
            let time = match self.at {
                Some(time) => time,
                None => {
                    // Nothing can come before the frontier: what is at it may be taken.
                    let first = self.backlog.first().filter(|t| Some(*t) == frontier);
                    let first = first.filter(|t| self.loaded.is_none_or(|loaded| loaded == *t));
                    if let Some(time) = first.filter(|_| self.state.can_load()) {
                        for updates in self.backlog.take(time) {
                            self.state.load(updates)?;
                        }
                        self.loaded = Some(time);
                        return Ok(None);
                    }
                    let loaded = self.loaded.filter(|t| frontier.is_none_or(|f| *t < f));
                    let next = match loaded {
                        Some(time) => Some((time, self.backlog.take(time))),
                        None => self.backlog.next(frontier),
                    };
                    self.loaded = self.loaded.filter(|_| next.is_none());
                    let Some((time, batches)) = next else {
                        return Ok(None);
                    };
                    batches.into_iter().for_each(|b| self.state.push(b));
                    *self.at.insert(time)
                }
            };
            match self.state.step()? {
                Some(piece) if piece.diffs.is_empty() => {}
                Some(piece) => return Ok(Some(piece.updates(time))),
                None => self.at = None,
            }
        }
    }
}
