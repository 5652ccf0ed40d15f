//! Functions of our own: one file each, one line in a list below. What a batch query can call, a
//! maintained view can call.

mod action_family;
mod action_level;
mod convert_micros;
mod day_start;
mod hours_in_day;
mod local_day;
mod local_hour;
mod mad;
mod meta_actions;
mod nearest_window;
mod quantile;
mod robust_zscore;
mod zone;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Aggregates, also over window frames.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![mad::function(), nearest_window::function(), quantile::function()]
}

/// Scalar functions.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![
        action_family::function(),
        action_level::function(),
        convert_micros::function(),
        day_start::function(),
        hours_in_day::function(),
        local_day::function(),
        local_hour::function(),
        robust_zscore::function(),
    ]
}
