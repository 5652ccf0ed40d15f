use std::collections::BTreeMap;
use std::sync::Arc;

use arrangement::{Budget, Lane, Updates};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::WindowState;
use crate::plan::{Bound, Frame, FrameUnits, OrderColumn, WindowFunction, WindowKind};

fn rows(hours: &[i64], value: i64, diff: i64) -> Updates {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(1, hours.len())),
        Arc::new(Int64Array::from(hours.to_vec())),
        Arc::new(Int64Array::from_value(value, hours.len())),
    ];
    Updates::new(columns, Lane::constant(1, hours.len()), Lane::constant(diff, hours.len()))
}

fn finish(state: &mut WindowState) -> usize {
    let mut emitted = 0;
    while let Some(piece) = state.step().expect("the window computes") {
        emitted += piece.diffs.len();
    }
    emitted
}

/// Rows visited, and rows emitted, when one hour in the middle of `hours` is restated.
fn restate_one(hours: i64) -> (u64, usize) {
    let names = ["partition", "hour", "value"];
    let fields = names.map(|n| Field::new(n, DataType::Int64, true)).to_vec();
    let order = OrderColumn { column: 1, descending: false, nulls_first: false };
    let week = WindowFunction {
        name: "week".into(),
        kind: WindowKind::Sum,
        args: vec![2],
        frame: Frame {
            units: FrameUnits::Range,
            start: Bound::Offset(-167),
            end: Bound::Offset(0),
        },
        within: vec![],
        output: DataType::Int64,
    };
    let mut state = WindowState::new(
        &Arc::new(Schema::new(fields)),
        &[0],
        &[order],
        &[],
        &[week],
        &Budget::unlimited(),
    )
    .expect("a window over integers");
    state.push(rows(&(0..hours).collect::<Vec<_>>(), 3, 1));
    assert_eq!(finish(&mut state) as i64, hours);
    let before = state.visited();
    state.push(rows(&[hours / 2], 3, -1));
    state.push(rows(&[hours / 2], 4, 1));
    let emitted = finish(&mut state);
    (state.visited() - before, emitted)
}

#[test]
fn a_restated_hour_costs_its_frames_however_long_the_partition_is() {
    let (short, long) = (restate_one(2_000), restate_one(20_000));
    assert_eq!(short, long);
    // 168 rows see the hour; each is taken back and put in.
    assert_eq!(short.1, 336);
    assert!(short.0 <= 4 * 168, "{short:?}");
}

/// (partition, hour, value)
type Row = (i64, i64, i64);
/// A row and its five outputs.
type Output = Vec<Option<i64>>;

fn function(
    name: &str,
    kind: WindowKind,
    units: FrameUnits,
    start: i64,
    end: i64,
) -> WindowFunction {
    WindowFunction {
        name: name.into(),
        kind,
        args: vec![2],
        frame: Frame { units, start: Bound::Offset(start), end: Bound::Offset(end) },
        within: vec![],
        output: DataType::Int64,
    }
}

fn functions() -> Vec<WindowFunction> {
    vec![
        function("sum", WindowKind::Sum, FrameUnits::Range, -3, 0),
        function("count", WindowKind::Count, FrameUnits::Rows, -2, 1),
        function("number", WindowKind::RowNumber, FrameUnits::Rows, 0, 0),
        function("lag", WindowKind::Lag { offset: 2 }, FrameUnits::Rows, 0, 0),
        function("min", WindowKind::Min, FrameUnits::Range, -2, 2),
    ]
}

/// The same, row by row over the whole partition.
fn meaning(rows: &BTreeMap<Row, i64>) -> BTreeMap<Output, i64> {
    let mut out = BTreeMap::new();
    for p in 0..3 {
        let all: Vec<Row> = rows
            .iter()
            .filter(|(r, _)| r.0 == p)
            .flat_map(|(r, n)| std::iter::repeat_n(*r, *n as usize))
            .collect();
        for (i, row) in all.iter().enumerate() {
            let within = |a: i64, b: i64| {
                all.iter().filter(move |r| r.1 >= row.1 + a && r.1 <= row.1 + b).map(|r| r.2)
            };
            let count = (i + 2).min(all.len()) - i.saturating_sub(2);
            let lag = i.checked_sub(2).map(|j| all[j].2);
            let outputs = [
                Some(within(-3, 0).sum()),
                Some(count as i64),
                Some(i as i64 + 1),
                lag,
                within(-2, 2).min(),
            ];
            let key = [Some(row.0), Some(row.1), Some(row.2)].into_iter().chain(outputs).collect();
            *out.entry(key).or_insert(0) += 1;
        }
    }
    out
}

#[test]
fn differences_add_up_to_the_view_across_chunk_borders() {
    for seed in 0..30 {
        let mut rng = StdRng::seed_from_u64(seed);
        let names = ["partition", "hour", "value"];
        let fields = names.map(|n| Field::new(n, DataType::Int64, true)).to_vec();
        let order = OrderColumn { column: 1, descending: false, nulls_first: false };
        let schema = Arc::new(Schema::new(fields));
        let mut state =
            WindowState::new(&schema, &[0], &[order], &[], &functions(), &Budget::unlimited())
                .expect("a window over integers");
        let mut held: BTreeMap<Row, i64> = BTreeMap::new();
        let mut view: BTreeMap<Output, i64> = BTreeMap::new();
        for step in 0..40 {
            let mut changes: Vec<(Row, i64)> = vec![];
            for _ in 0..if step == 0 { 120 } else { rng.random_range(1..14) } {
                let n = held.len();
                if n > 0 && rng.random_bool(0.5) {
                    let row = *held.keys().nth(rng.random_range(0..n)).expect("held");
                    let copies = rng.random_range(1..=held[&row]);
                    *held.get_mut(&row).expect("held") -= copies;
                    held.retain(|_, n| *n > 0);
                    changes.push((row, -copies));
                } else {
                    let row =
                        (rng.random_range(0..3), rng.random_range(0..30), rng.random_range(0..3));
                    let copies = rng.random_range(1..7);
                    *held.entry(row).or_default() += copies;
                    changes.push((row, copies));
                }
            }
            let column = |f: fn(&Row) -> i64| -> ArrayRef {
                Arc::new(Int64Array::from_iter_values(changes.iter().map(|c| f(&c.0))))
            };
            let columns = vec![column(|r| r.0), column(|r| r.1), column(|r| r.2)];
            let diffs: Vec<i64> = changes.iter().map(|c| c.1).collect();
            state.push(Updates::new(columns, Lane::constant(1, diffs.len()), Lane::each(diffs)));
            while let Some(piece) = state.step().expect("the window computes") {
                for (i, diff) in piece.diffs.iter().enumerate() {
                    let cell = |c: &ArrayRef| {
                        let c = c.as_primitive::<Int64Type>();
                        c.is_valid(i).then(|| c.value(i))
                    };
                    let row: Output = piece.columns[..8].iter().map(cell).collect();
                    *view.entry(row).or_default() += diff;
                }
            }
            view.retain(|_, n| *n != 0);
            assert!(view == meaning(&held), "seed {seed} step {step}");
        }
    }
}
