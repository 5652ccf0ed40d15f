use std::sync::Arc;

use arrangement::{Lane, Updates};
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};

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
        output: DataType::Int64,
    };
    let mut state = WindowState::new(&Arc::new(Schema::new(fields)), &[0], &[order], &[week])
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
