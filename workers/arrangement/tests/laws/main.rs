//! What an arrangement promises, checked against plain loops under random changes.
#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod chunks;
mod dataflow;
mod rows;
mod wire;
