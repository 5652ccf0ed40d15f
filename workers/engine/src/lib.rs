//! Floor 2: plans, operators, rendering and ports. SQL-free and I/O-free.
//!
//! [`plan::Plan`] says what is computed, [`ports`] where rows come from and go to,
//! [`execute::execute`] runs one on threads and processes.

mod backlog;
pub mod check;
pub mod execute;
pub mod faults;
mod groups;
mod numbers;
mod operators;
pub mod plan;
pub mod ports;
mod records;
mod render;
pub mod rewrite;
mod window;

pub use operators::source::{META_COLUMNS, gone_rows, history_schema};
pub use render::views;
