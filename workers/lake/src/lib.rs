//! The lake: its store, its log, its sources, and the Delta tables that hold its views.
//!
//! Everything mutable is a [`chain`] of numbered objects, created by put-if-absent and never
//! overwritten. Leadership is an entry of the [`log`]; a table's first commit by an incarnation
//! fences the older ones. Nothing here reads a clock or draws a random number: both are arguments.

pub mod chain;
pub mod delta;
pub mod error;
pub mod lease;
pub mod lock;
pub mod log;
pub mod published;
pub mod sink;
pub mod source;
pub mod store;
pub mod vacuum;

pub use error::{LakeError, Result};
pub use lock::Identity;
pub use store::Store;
