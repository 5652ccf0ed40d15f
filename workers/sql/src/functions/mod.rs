//! Functions of our own: one file each, one line in a list below. What a batch query can call, a
//! maintained view can call.

mod mad;
mod quantile;
mod robust_zscore;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Aggregates, also over window frames.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![mad::function(), quantile::function()]
}

/// Scalar functions.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![robust_zscore::function()]
}
