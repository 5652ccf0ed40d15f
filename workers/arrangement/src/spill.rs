//! Where settled chunks of traces go when they should not stay in memory.
//!
//! Differential settles chunks in a function without context, so a worker thread registers its
//! spill with [`install`]. Without one everything stays in memory. Only chunks of traces are
//! offered; what an arrangement still sorts is not.

use std::cell::RefCell;
use std::sync::Arc;

use crate::budget::Charge;
use crate::run::Run;

/// Takes runs that settled.
pub trait Spill {
    /// Store `run`, or leave it in memory, for want of need or on an error.
    fn offer(&mut self, run: &Run) -> Offered;
}

/// What became of a run that was offered.
pub enum Offered {
    /// It is elsewhere.
    Stored(Arc<dyn Stored>),
    /// It stays in memory, counted as long as it does.
    Kept(Option<Charge>),
}

/// A run that is not in memory. Dropped when no chunk refers to it any more.
pub trait Stored: Send + Sync {
    /// Read it back.
    ///
    /// # Panics
    /// If it cannot be read: state is lost, and the worker cannot go on.
    fn load(&self) -> Run;
}

thread_local! {
    static SPILL: RefCell<Option<Box<dyn Spill>>> = const { RefCell::new(None) };
}

/// From now on, chunks that settle on this thread are offered to `spill` (to none, if `None`).
/// Returns what was installed before.
pub fn install(spill: Option<Box<dyn Spill>>) -> Option<Box<dyn Spill>> {
    SPILL.with(|installed| installed.replace(spill))
}

pub(crate) fn offer(run: &Run) -> Offered {
    SPILL.with(|installed| match installed.borrow_mut().as_mut() {
        Some(spill) => spill.offer(run),
        None => Offered::Kept(None),
    })
}
