//! One file per operator. `render` calls one function of each.

pub mod accumulate;
pub mod aggregate;
pub mod commit;
pub mod distinct;
pub mod join;
pub mod map;
pub mod output;
pub mod source;
pub mod unique;
pub mod upsert;
pub mod window;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrangement::{Budget, Updates};
use schemas::Time;
use timely::container::NoopBuilder;
use timely::dataflow::Stream;

use crate::ports::{PortError, Reader, WorkerId};

/// Changes on an edge.
pub(crate) type Rows<'s> = Stream<'s, Time, Updates>;

/// Operators make whole containers; nothing is built row by row.
pub(crate) type Whole = NoopBuilder<Updates>;

/// What a node hands on: its rows, and the rows it could not compute.
pub(crate) struct Rendered<'s> {
    pub rows: Rows<'s>,
    pub faults: Vec<Rows<'s>>,
}

impl<'s> Rendered<'s> {
    pub(crate) fn clean(rows: Rows<'s>) -> Self {
        Rendered { rows, faults: vec![] }
    }
}

/// The first thing that went wrong in any worker of this process. Workers stop when it is set.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Failed>);

#[derive(Default)]
struct Failed {
    failed: AtomicBool,
    first: Mutex<Option<PortError>>,
}

impl Failure {
    /// Note `error` unless an earlier one is noted.
    pub(crate) fn set(&self, error: PortError) {
        let mut first = self.first();
        if !self.is_set() {
            *first = Some(error);
            self.0.failed.store(true, Ordering::SeqCst);
        }
    }

    /// Also once it was taken: whoever failed has failed for good.
    pub(crate) fn is_set(&self) -> bool {
        self.0.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn take(&self) -> Option<PortError> {
        self.first().take()
    }

    fn first(&self) -> MutexGuard<'_, Option<PortError>> {
        self.0.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What operators need to know about where they run.
#[derive(Clone)]
pub(crate) struct Context {
    pub reader: Arc<dyn Reader>,
    pub failure: Failure,
    pub worker: WorkerId,
    /// What state may take in memory.
    pub budget: Budget,
}
