//! `DISTINCT`: all columns are the key; a group is there once while any copy is.

use arrangement::{Evaluate, Evaluated, Groups, arrange, reduce};

use super::{Rendered, Rows};

struct Present;

impl Evaluate for Present {
    fn evaluate(&mut self, groups: Groups<'_>) -> Evaluated {
        let mut start = 0;
        let mut total = 0;
        let present = groups.ends.iter().map(|end| {
            let copies: i64 = groups.counts[start..*end].iter().sum();
            start = *end;
            total += usize::from(copies > 0);
            total
        });
        Evaluated { columns: vec![], ends: present.collect() }
    }
}

/// The distinct rows of `rows`, which have `width` columns.
pub(crate) fn render<'s>(rows: Rows<'s>, width: usize) -> Rendered<'s> {
    let keys: Vec<usize> = (0..width).collect();
    Rendered::clean(distinct_keys(&arrange(rows, &keys, "Distinct")))
}

/// The keys an arrangement holds, each once.
pub(crate) fn distinct_keys<'s>(arranged: &arrangement::Arranged<'s>) -> Rows<'s> {
    reduce(arranged, "Distinct", Box::new(Present))
}
