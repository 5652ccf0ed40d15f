//! Sums across currencies are refused: 3 euros and 4 dollars are 7 of nothing.
//!
//! Only where the text proves it: the sum's argument is a source's `…_micros` column, as it is, the
//! source has a `currency` column, and nothing on the way names a currency: no key of the grouping is
//! `currency` or an id (accounts, campaigns and ads have one currency), no key is the source's
//! primary key, and no filter or join mentions `currency`. Whoever computes anything with the column
//! is believed to know.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::Lowering;
use crate::catalog::Catalog;
use crate::error::SqlError;
use crate::statement::StatementKind;

const CURRENCY: &str = "currency";

/// What to write instead.
const INSTEAD: &str = "add currency to GROUP BY (PARTITION BY), or keep one WHERE currency = 'USD', \
    or add up per currency, JOIN exchange_rates and sum(convert_micros(…)): see \
    dataflows/exchange_rates";

impl Lowering<'_> {
    pub(crate) fn refuse_mixed_currencies(&self, plan: &LogicalPlan) -> Result<(), SqlError> {
        match find(self.catalog, plan)? {
            None => Ok(()),
            Some(mixed) => Err(self.refuse(&mixed.written, &mixed.what(), INSTEAD)),
        }
    }
}

/// A warning about a query over `catalog`'s views that adds up several currencies. Views that do
/// are refused; whoever only looks is told.
///
/// # Errors
/// None that a planned query has.
pub fn mixed_currencies(catalog: &Catalog, plan: &LogicalPlan) -> Result<Option<String>, SqlError> {
    let warning = |mixed: Mixed| format!("{}\n  hint: {INSTEAD}", mixed.what());
    Ok(find(catalog, plan)?.map(warning))
}

fn find(catalog: &Catalog, plan: &LogicalPlan) -> Result<Option<Mixed>, SqlError> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        found = mixed(catalog, node);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// A column of a source that holds amounts in the row's currency.
struct Amount {
    source: String,
    column: String,
}

/// A sum of amounts, which nothing keeps to one currency.
struct Mixed {
    sum: String,
    written: String,
    amount: Amount,
}

impl Mixed {
    fn what(&self) -> String {
        let Mixed { sum, written, amount: Amount { source, column } } = self;
        format!(
            "{sum}({written}) adds up different currencies: {source}.{column} is in the row's currency"
        )
    }
}

/// The first such sum of `node` itself.
fn mixed(catalog: &Catalog, node: &LogicalPlan) -> Option<Mixed> {
    match node {
        LogicalPlan::Aggregate(a) => {
            a.aggr_expr.iter().find_map(|e| sums(catalog, e, &a.group_expr, &a.input))
        }
        LogicalPlan::Window(w) => w.window_expr.iter().find_map(|e| match plain(e) {
            Expr::WindowFunction(f) => sums(catalog, e, &f.params.partition_by, &w.input),
            _ => None,
        }),
        _ => None,
    }
}

fn sums(catalog: &Catalog, call: &Expr, keys: &[Expr], input: &LogicalPlan) -> Option<Mixed> {
    let (name, args, filter) = match plain(call) {
        Expr::AggregateFunction(f) => (f.func.name(), &f.params.args, &f.params.filter),
        Expr::WindowFunction(f) => (f.fun.name(), &f.params.args, &f.params.filter),
        _ => return None,
    };
    let filtered = filter.as_ref().is_some_and(|f| mentions(f, is_currency));
    let keyed = keys.iter().any(|k| mentions(k, |c| is_currency(c) || is_id(c)));
    let [arg] = args.as_slice() else { return None };
    if !matches!(name, "sum" | "avg") || filtered || keyed {
        return None;
    }
    let amount = amount_of(catalog, arg, input)?;
    let key = primary_key(catalog, &amount.source);
    let whole_key = |k: &String| keys.iter().any(|e| mentions(e, |c| c == k));
    if !key.is_empty() && key.iter().all(whole_key) {
        return None;
    }
    let written = column(arg)?.name.clone();
    Some(Mixed { sum: name.to_string(), written, amount })
}

/// The source's column that `expr` over `input` hands on as it is.
fn amount_of(catalog: &Catalog, expr: &Expr, input: &LogicalPlan) -> Option<Amount> {
    amount(catalog, input, input.schema().maybe_index_of_column(column(expr)?)?)
}

/// The source's column that column `i` of `plan` is, unless a filter or join on the way has a word
/// about currencies.
fn amount(catalog: &Catalog, plan: &LogicalPlan, i: usize) -> Option<Amount> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let (table, column) = (scan.table_name.table(), plan.schema().field(i).name());
            if let Some(view) = catalog.view(table) {
                let i = view.plan.schema().fields().iter().position(|f| f.name() == column)?;
                return amount(catalog, &view.plan, i);
            }
            let history = || catalog.source(table.strip_suffix("_history")?);
            let source = catalog.source(table).or_else(history)?;
            let money = column.ends_with("_micros") && source.schema.index_of(CURRENCY).is_ok();
            money.then(|| Amount { source: source.name.clone(), column: column.clone() })
        }
        LogicalPlan::Projection(p) => amount_of(catalog, p.expr.get(i)?, &p.input),
        LogicalPlan::Filter(f) if mentions(&f.predicate, is_currency) => None,
        LogicalPlan::Filter(f) => amount(catalog, &f.input, i),
        LogicalPlan::SubqueryAlias(a) => amount(catalog, &a.input, i),
        LogicalPlan::Sort(s) => amount(catalog, &s.input, i),
        LogicalPlan::Distinct(Distinct::All(input)) => amount(catalog, input, i),
        LogicalPlan::Union(u) => u.inputs.iter().find_map(|input| amount(catalog, input, i)),
        LogicalPlan::Aggregate(a) => match a.group_expr.get(i) {
            Some(key) => amount_of(catalog, key, &a.input),
            None => total(catalog, a.aggr_expr.get(i - a.group_expr.len())?, &a.input),
        },
        LogicalPlan::Window(w) => {
            let width = w.input.schema().fields().len();
            match i.checked_sub(width) {
                None => amount(catalog, &w.input, i),
                Some(i) => total(catalog, w.window_expr.get(i)?, &w.input),
            }
        }
        LogicalPlan::Join(j) => {
            let on = j.on.iter().flat_map(|(l, r)| [l, r]).chain(&j.filter);
            if on.into_iter().any(|e| mentions(e, is_currency)) {
                return None;
            }
            let width = j.left.schema().fields().len();
            match i.checked_sub(width) {
                None => amount(catalog, &j.left, i),
                Some(i) if j.schema.fields().len() > width => amount(catalog, &j.right, i),
                Some(_) => None,
            }
        }
        _ => None,
    }
}

/// A sum of amounts is an amount.
fn total(catalog: &Catalog, call: &Expr, input: &LogicalPlan) -> Option<Amount> {
    let (name, args, filter) = match plain(call) {
        Expr::AggregateFunction(f) => (f.func.name(), &f.params.args, &f.params.filter),
        Expr::WindowFunction(f) => (f.fun.name(), &f.params.args, &f.params.filter),
        _ => return None,
    };
    match args.as_slice() {
        [arg] if name == "sum" && filter.is_none() => amount_of(catalog, arg, input),
        _ => None,
    }
}

/// The column that `expr` is, whatever its name and type are now. `coalesce(column, 0)` is one.
fn column(expr: &Expr) -> Option<&datafusion::common::Column> {
    match plain(expr) {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column(&cast.expr),
        Expr::ScalarFunction(f) if f.func.name() == "coalesce" => column(f.args.first()?),
        _ => None,
    }
}

fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => plain(&alias.expr),
        expr => expr,
    }
}

fn mentions(expr: &Expr, name: impl Fn(&str) -> bool) -> bool {
    expr.column_refs().iter().any(|c| name(&c.name))
}

fn is_currency(column: &str) -> bool {
    column.ends_with(CURRENCY)
}

/// Names of things that have one currency, or that may have one.
fn is_id(column: &str) -> bool {
    column.ends_with("_id")
        || ["id", "account", "campaign", "adset", "ad_set", "ad"].contains(&column)
}

fn primary_key<'c>(catalog: &'c Catalog, source: &str) -> &'c [String] {
    match catalog.source(source).map(|s| &s.statement.kind) {
        Some(StatementKind::Source(source)) => &source.key,
        _ => &[],
    }
}
