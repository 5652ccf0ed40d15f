//! Floor 0: the nouns every other crate speaks.
//!
//! * [`Time`] and [`Diff`]: when a change counts, and how often.
//! * [`normal`]: the one physical Arrow type that stands for each logical type inside the engine.
//! * the lake's tables as DDL, each column with its unit.

pub mod normal;
pub mod tables;

/// A position in the lake's log. Totally ordered; event time and `as_of` are columns, never times.
pub type Time = u64;

/// How many copies of a row a change adds (positive) or takes away (negative).
pub type Diff = i64;
