//! Tidewatch: SQL that stays true over a marketing data lake.
fn main() {}
