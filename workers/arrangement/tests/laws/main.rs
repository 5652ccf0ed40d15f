//! What an arrangement promises, checked against plain loops under random changes.

mod chunks;
mod dataflow;
mod rows;
mod wire;
