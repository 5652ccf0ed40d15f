//! DataFusion, set up once.

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::functions;

fn config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true);
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    config
}

fn with_functions(mut state: SessionState) -> SessionState {
    for function in functions::aggregates() {
        // Registering cannot fail: the registry of a session takes any function.
        let _ = state.register_udaf(Arc::new(function));
    }
    for function in functions::scalars() {
        let _ = state.register_udf(Arc::new(function));
    }
    state
}

/// For planning what is maintained: a fixed, short rule list. No rule moves a fallible expression
/// across a filter or a join.
pub(crate) fn planning_session() -> SessionState {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        // `FROM a, b WHERE a.k = b.k` is a join.
        Arc::new(EliminateCrossJoin::new()),
        // A join's condition that became a filter's goes back to being keys.
        Arc::new(ExtractEquijoinPredicate::new()),
        // State holds only columns that are read.
        Arc::new(OptimizeProjections::new()),
    ];
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config().with_target_partitions(1))
        .with_optimizer_rules(rules)
        .build();
    with_functions(state)
}

/// For queries: all of DataFusion, with our functions.
pub fn query_session() -> SessionContext {
    let state = SessionStateBuilder::new_with_default_features().with_config(config()).build();
    SessionContext::new_with_state(with_functions(state))
}
