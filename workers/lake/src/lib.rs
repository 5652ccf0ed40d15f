//! The lake: its store, its log, its sources, and the Delta tables that hold its views.

pub mod source;
