//! Floor 1: Arrow-native state for differential dataflow.

pub mod updates;

pub use updates::{Lane, Updates};
