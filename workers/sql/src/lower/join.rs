//! Equi-joins.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::{Expr as LogicalExpr, Join};
use engine::plan::{JoinKind, NodeId, Operator};
use schemas::normal::normal_type;

use super::{Lowering, Relation, expr};
use crate::error::SqlError;

impl Lowering<'_> {
    pub(crate) fn join(&mut self, join: &Join) -> Result<Relation, SqlError> {
        let kind = self.join_kind(join)?;
        let left = self.lower(&join.left)?;
        let right = self.lower(&join.right)?;
        let (lefts, rights): (Vec<&LogicalExpr>, Vec<&LogicalExpr>) =
            join.on.iter().map(|(l, r)| (l, r)).unzip();
        for (l, r) in &join.on {
            let types = (self.type_of(l, &left.schema)?, self.type_of(r, &right.schema)?);
            if normal_type(&types.0) != normal_type(&types.1) {
                let what = format!("the join compares {} with {}", types.0, types.1);
                return Err(self.refuse("join", &what, "CAST one side to the other's type"));
            }
        }
        let (l_node, l_keys) = self.with_columns(&left, &lefts)?;
        let (r_node, r_keys) = self.with_columns(&right, &rights)?;
        let (l, r) = (self.node_schema(l_node), self.node_schema(r_node));
        let fields: Vec<_> = l.fields().iter().chain(r.fields()).cloned().collect();
        let operator = Operator::Join {
            kind,
            on: l_keys.into_iter().zip(r_keys).collect(),
            null_equals_null: join.null_equality == NullEquality::NullEqualsNull,
        };
        let joined = self.push(operator, vec![l_node, r_node], Arc::new(Schema::new(fields)))?;
        // Drop computed keys.
        let (lw, rw) = (left.schema.fields().len(), right.schema.fields().len());
        let lefts = 0..lw;
        let rights = l.fields().len()..l.fields().len() + rw;
        let kept: Vec<usize> = lefts.chain(rights).collect();
        let all = kept.len() == l.fields().len() + r.fields().len();
        let node = if all { joined } else { self.pick(joined, &kept)? };
        let relation = Relation { node, schema: join.schema.clone() };
        match &join.filter {
            None => Ok(relation),
            Some(filter) => self.map(&relation, Some(filter), None, join.schema.clone()),
        }
    }

    fn join_kind(&self, join: &Join) -> Result<JoinKind, SqlError> {
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => {
                let instead = "swap the sides and write LEFT JOIN";
                return Err(self.refuse("right", "RIGHT JOIN is not maintained yet", instead));
            }
            JoinType::Full => {
                let instead = "UNION ALL a LEFT JOIN and the unmatched rows of the other side";
                return Err(self.refuse("full", "FULL JOIN is not maintained yet", instead));
            }
            other => {
                let what = format!("{other} joins are not maintained yet");
                let instead = "JOIN (SELECT DISTINCT key FROM …) USING (key)";
                return Err(self.refuse("join", &what, instead));
            }
        };
        if join.on.is_empty() {
            let what = "a join without an equality pairs every row with every row";
            return Err(self.refuse("join", what, "add ON a.key = b.key"));
        }
        if kind == JoinKind::Left && join.filter.is_some() {
            return Err(self.refuse(
                "left",
                "LEFT JOIN with a condition other than equalities is not maintained yet",
                "filter the right side first: LEFT JOIN (SELECT … WHERE …) ON a.key = b.key",
            ));
        }
        Ok(kind)
    }

    /// `input` with `exprs` among its columns, and where: plain columns are where they are, others
    /// come after all.
    pub(crate) fn with_columns(
        &mut self,
        input: &Relation,
        exprs: &[&LogicalExpr],
    ) -> Result<(NodeId, Vec<usize>), SqlError> {
        let schema = self.node_schema(input.node);
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        let mut columns: Vec<_> = (0..fields.len()).map(|c| expr::column(&schema, c)).collect();
        let mut positions = vec![];
        for e in exprs {
            let plain = match e {
                LogicalExpr::Column(column) => input.schema.maybe_index_of_column(column),
                _ => None,
            };
            positions.push(plain.unwrap_or(fields.len()));
            if plain.is_none() {
                let declared = self.type_of(e, &input.schema)?;
                let normal = normal_type(&declared).ok_or_else(|| {
                    let what = format!("a value of type {declared} cannot be kept in state");
                    self.refuse("null", &what, "CAST it to a plain type")
                })?;
                columns.push(self.physical(e, input)?);
                fields.push(Arc::new(Field::new(e.schema_name().to_string(), normal, true)));
            }
        }
        if fields.len() == schema.fields().len() {
            return Ok((input.node, positions));
        }
        let operator = Operator::Map { predicate: None, columns };
        let node = self.push(operator, vec![input.node], Arc::new(Schema::new(fields)))?;
        Ok((node, positions))
    }
}
