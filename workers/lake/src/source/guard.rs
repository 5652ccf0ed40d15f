//! Decoders of foreign bytes may panic; a damaged file must not stop a worker.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// What `decode` returns, or `None` if it panics.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    let outer = DECODING.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(outer);
    decoded.ok()
}

/// Whether this thread decodes a file now: a panic in there is the file's fault, and is caught.
pub fn decoding() -> bool {
    DECODING.get()
}
