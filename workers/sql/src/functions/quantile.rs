//! `quantile(x, q)`: the exact q-quantile with linear interpolation (Hyndman & Fan 1996, type 7);
//! DataFusion's `percentile_cont` under the name analysts look for.

use datafusion::functions_aggregate::percentile_cont::percentile_cont_udaf;
use datafusion::logical_expr::AggregateUDF;

pub(super) fn function() -> AggregateUDF {
    percentile_cont_udaf().as_ref().clone().with_aliases(["quantile"])
}
