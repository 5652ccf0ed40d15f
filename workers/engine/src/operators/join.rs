//! Equi-joins.
//!
//! Inner: both sides arranged by key, matches by column `take`.
//! Left: inner ∪ padded(L) ∪ −padded(L ⋉ keys(R)), from the same arrangement of L.

use arrangement::{Arranged, Lane, Updates, arrange, join};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::Operator;

use super::{Rendered, Rows, Whole, distinct};
use crate::plan::JoinKind;

/// A join node: which columns meet, and the widths of both sides.
pub(crate) struct Joining {
    pub kind: JoinKind,
    pub on: Vec<(usize, usize)>,
    pub null_equals_null: bool,
    pub left: SchemaRef,
    pub right: SchemaRef,
}

/// Render a `Join` node.
pub(crate) fn render<'s>(left: Rows<'s>, right: Rows<'s>, joining: Joining) -> Rendered<'s> {
    let (lefts, rights): (Vec<usize>, Vec<usize>) = joining.on.iter().copied().unzip();
    let keyed = |rows: Rows<'s>, keys: &[usize], name| {
        let rows = if joining.null_equals_null { rows } else { with_keys(rows, keys.to_vec()) };
        arrange(rows, keys, name)
    };
    let arranged_left = keyed(left.clone(), &lefts, "Join left");
    let arranged_right = keyed(right, &rights, "Join right");
    let (l, r) = (joining.left.fields().len(), joining.right.fields().len());
    let mut order = positions(&lefts, l, 0);
    order.extend(positions(&rights, r, rest(&lefts, l)));
    let matched = reorder(join(&arranged_left, &arranged_right, "Join"), order);
    if joining.kind == JoinKind::Inner {
        return Rendered::clean(matched);
    }
    let types: Vec<DataType> =
        joining.right.fields().iter().map(|f| f.data_type().clone()).collect();
    let all = pad(left, types.clone(), 1);
    let answered = semijoin(&arranged_left, &arranged_right, &lefts, l);
    let answered = pad(answered, types, -1);
    let scope = all.scope();
    Rendered::clean(scope.concatenate([matched, all, answered]))
}

/// Rows of `left` whose key `right` has.
fn semijoin<'s>(
    left: &Arranged<'s>,
    right: &Arranged<'s>,
    keys: &[usize],
    width: usize,
) -> Rows<'s> {
    let present = distinct::distinct_keys(right);
    let all: Vec<usize> = (0..keys.len()).collect();
    let present = arrange(present, &all, "Semijoin keys");
    let order = positions(keys, width, 0);
    reorder(join(left, &present, "Semijoin"), order)
}

/// Where each of `width` columns is found in a row of keys followed by values: key columns at
/// their place in `keys`, the others in order from `keys.len() + skip`.
fn positions(keys: &[usize], width: usize, skip: usize) -> Vec<usize> {
    let mut values = keys.len() + skip..;
    let one = |c: usize| match keys.iter().position(|k| *k == c) {
        Some(at) => Some(at),
        None => values.next(),
    };
    (0..width).filter_map(one).collect()
}

/// How many of `width` columns are no keys (a column may be a key twice).
fn rest(keys: &[usize], width: usize) -> usize {
    (0..width).filter(|c| !keys.contains(c)).count()
}

fn reorder<'s>(rows: Rows<'s>, order: Vec<usize>) -> Rows<'s> {
    each(rows, "Reorder", move |u| {
        u.with_columns(order.iter().map(|c| u.columns[*c].clone()).collect())
    })
}

/// Only the rows whose key has no null: a null equals nothing.
fn with_keys<'s>(rows: Rows<'s>, keys: Vec<usize>) -> Rows<'s> {
    each(rows, "NotNull", move |u| {
        if keys.iter().all(|k| u.columns[*k].null_count() == 0) {
            return u.clone();
        }
        let known = |row: &u32| keys.iter().all(|k| u.columns[*k].is_valid(*row as usize));
        u.take((0u32..).take(u.len()).filter(known).collect())
    })
}

/// Nulls for the right side; counts times `sign`.
fn pad<'s>(rows: Rows<'s>, types: Vec<DataType>, sign: i64) -> Rows<'s> {
    each(rows, "Pad", move |u| {
        let nulls = types.iter().map(|t| new_null_array(t, u.len()));
        let columns: Vec<ArrayRef> = u.columns.iter().cloned().chain(nulls).collect();
        let count = match &u.count {
            Lane::Constant { value, len } => Lane::constant(value * sign, *len),
            Lane::Each(values) => Lane::Each(values.iter().map(|v| v * sign).collect()),
        };
        Updates::new(columns, u.times.clone(), count)
    })
}

fn each<'s>(rows: Rows<'s>, name: &str, f: impl Fn(&Updates) -> Updates + 'static) -> Rows<'s> {
    rows.unary::<Whole, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each(|capability, updates| {
                let mut made = f(updates);
                if !made.is_empty() {
                    output.session_with_builder(&capability).give_container(&mut made);
                }
            });
        }
    })
}
