//! Floor 2: plans, operators, rendering and ports. SQL-free and I/O-free.

pub mod plan;
pub mod ports;
