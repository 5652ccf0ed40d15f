//! Files become rows.
//!
//! Every worker sees every log entry and reads the files whose path falls to it. A time is
//! complete when all of its files are read; a few batches are read per activation, so that
//! downstream operators keep pace.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use arrangement::{Lane, Updates};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use schemas::Time;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{Context, Rendered, Whole};
use crate::faults::fault_columns;
use crate::plan::{Mode, Source};
use crate::ports::{Entry, Fault, FileBatch, FileBatches, PortError, PortErrorKind, SourceFile};

/// Columns that upsert and its history need beside the declared ones: admitting time, path, row
/// number.
pub const META_COLUMNS: usize = 3;

/// Batches read per activation.
const BATCHES_PER_STEP: usize = 4;

/// Read the files of `source`. If its rows are upserted or unique, they carry [`META_COLUMNS`]
/// more.
pub(crate) fn read<'s>(
    entries: Stream<'s, Time, Vec<Entry>>,
    source: &Source,
    context: &Context,
) -> Rendered<'s> {
    let mut builder = OperatorBuilder::new(format!("Read {}", source.name), entries.scope());
    let info = builder.operator_info();
    let activator = entries.scope().activator_for(info.address);
    let mut input = builder.new_input(entries, Pipeline);
    let (out, rows) = builder.new_output::<Updates>();
    let (bad, faults) = builder.new_output::<Updates>();
    let mut out = OutputBuilder::<_, Whole>::from(out);
    let mut bad = OutputBuilder::<_, Whole>::from(bad);
    let mut reading = Reading::new(source, context);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_frontiers| {
            input.for_each(|capability, entries| {
                for entry in entries.drain(..) {
                    let at =
                        (capability.delayed(&entry.time, 0), capability.delayed(&entry.time, 1));
                    reading.admit(&entry, &at);
                }
            });
            let (mut out, mut bad) = (out.activate(), bad.activate());
            for _ in 0..BATCHES_PER_STEP {
                let Some(mut step) = reading.step() else { break };
                for rows in &mut step.rows {
                    out.session_with_builder(&step.at.0).give_container(rows);
                }
                for faults in &mut step.faults {
                    bad.session_with_builder(&step.at.1).give_container(faults);
                }
            }
            if !reading.work.is_empty() {
                activator.activate();
            }
        }
    });
    Rendered { rows, faults: vec![faults] }
}

/// Capabilities for rows and for faults.
type At = (Capability<Time>, Capability<Time>);

enum Task {
    Add(SourceFile),
    Remove(SourceFile),
    Say(Vec<Fault>),
}

/// What one step hands on.
struct Step {
    at: At,
    rows: Vec<Updates>,
    faults: Vec<Updates>,
}

/// What a file said, kept for the day it is gone.
#[derive(Default)]
struct Said {
    rows: Vec<Updates>,
    faults: Vec<Updates>,
}

struct Reading {
    source: String,
    mode: Mode,
    unique: bool,
    context: Context,
    work: VecDeque<(At, Task)>,
    open: Option<FileBatches>,
    said: HashMap<(String, String), Said>,
    /// (path, admitting time) of the files that were admitted: history has their rows too.
    admitted: HashSet<(String, Time)>,
}

impl Reading {
    fn new(source: &Source, context: &Context) -> Self {
        Reading {
            source: source.name.clone(),
            mode: source.mode.clone(),
            unique: source.unique.is_some(),
            context: context.clone(),
            work: VecDeque::new(),
            open: None,
            said: HashMap::new(),
            admitted: HashSet::new(),
        }
    }

    fn admit(&mut self, entry: &Entry, at: &At) {
        let falls_here = |source: &str, path: &str| {
            let worker = self.context.worker;
            source == self.source && fnv(path) % worker.peers as u64 == worker.index as u64
        };
        let mine = |f: &&SourceFile| falls_here(&f.source, &f.path);
        if entry.added.iter().any(SourceFile::is_history) {
            let live = entry.added.iter().filter(|f| f.source == self.source && !f.is_history());
            self.admitted = live.map(|f| (f.path.clone(), f.admitted)).collect();
        }
        let gone = entry.gone.iter().filter(mine).cloned().map(Task::Remove);
        let added = entry.added.iter().filter(mine).cloned().map(Task::Add);
        let faults = entry.faults.iter().filter(|f| falls_here(&f.origin, &f.file));
        let faults: Vec<Fault> = faults.cloned().collect();
        let said = (!faults.is_empty()).then_some(Task::Say(faults));
        self.work.extend(gone.chain(added).chain(said).map(|task| (at.clone(), task)));
    }

    /// Do one batch of work; `None` when there is none.
    fn step(&mut self) -> Option<Step> {
        if self.context.failure.is_set() {
            self.work.clear();
            return None;
        }
        let (at, task) = self.work.pop_front()?;
        match task {
            Task::Remove(file) => {
                let said = self.said.remove(&(file.path, file.etag)).unwrap_or_default();
                let negate = |u: Updates| at_time(negated(u), *at.0.time());
                let rows = said.rows.into_iter().map(negate).collect();
                let faults = said.faults.into_iter().map(negate).collect();
                Some(Step { at, rows, faults })
            }
            Task::Say(faults) => {
                let faults = said(&faults, *at.0.time());
                Some(Step { at, rows: vec![], faults: faults.into_iter().collect() })
            }
            Task::Add(file) => match self.next_batch(&file) {
                Ok(Some(batch)) => {
                    let step = self.read(at.clone(), &file, batch);
                    self.work.push_front((at, Task::Add(file)));
                    Some(step)
                }
                Ok(None) => Some(Step { at, rows: vec![], faults: vec![] }),
                Err(error) => {
                    self.context.failure.set(error);
                    None
                }
            },
        }
    }

    fn next_batch(&mut self, file: &SourceFile) -> Result<Option<FileBatch>, PortError> {
        let batches = match &mut self.open {
            Some(batches) => batches,
            none => none.insert(self.context.reader.open(file)?),
        };
        let next = batches.next().transpose();
        if !matches!(next, Ok(Some(_))) {
            self.open = None;
        }
        next
    }

    fn read(&mut self, at: At, file: &SourceFile, batch: FileBatch) -> Step {
        let time = *at.0.time();
        if file.is_history() {
            return self.recovered(at, &batch);
        }
        let n = batch.rows.num_rows();
        let mut columns = batch.rows.columns().to_vec();
        let mut count = Lane::constant(1, n);
        match &self.mode {
            Mode::Changes { diff } => {
                let diffs = columns.remove(*diff);
                count = Lane::each(diffs.as_primitive::<Int64Type>().values().to_vec());
            }
            Mode::Upsert(_) => columns.extend(meta_columns(file, &batch)),
            Mode::Append | Mode::Replace if self.unique => {
                columns.extend(meta_columns(file, &batch));
            }
            Mode::Append | Mode::Replace => {}
        }
        let rows = Updates::new(columns, Lane::constant(time, n), count);
        let step = Step {
            at,
            rows: (n > 0).then_some(rows).into_iter().collect(),
            faults: said(&batch.faults, time).into_iter().collect(),
        };
        self.remember(file, &step);
        step
    }

    /// The rows of a history file that no live file brings.
    fn recovered(&self, at: At, batch: &FileBatch) -> Step {
        let kept = gone_rows(&batch.rows, &self.admitted);
        let time = *at.0.time();
        let rows = match kept {
            Ok(rows) if rows.num_rows() > 0 => {
                let n = rows.num_rows();
                let columns = rows.columns().to_vec();
                Some(Updates::new(columns, Lane::constant(time, n), Lane::constant(1, n)))
            }
            Ok(_) => None,
            Err(error) => {
                let message = format!("the history of source '{}' makes no sense", self.source);
                let error = PortError::new(PortErrorKind::Corrupt, message).with_source(error);
                self.context.failure.set(error);
                None
            }
        };
        Step { at, rows: rows.into_iter().collect(), faults: vec![] }
    }

    /// A replaced file takes its rows with it; of other modes only the faults can go.
    fn remember(&mut self, file: &SourceFile, step: &Step) {
        let rows = matches!(self.mode, Mode::Replace);
        if !rows && step.faults.is_empty() {
            return;
        }
        let said = self.said.entry((file.path.clone(), file.etag.clone())).or_default();
        said.faults.extend(step.faults.iter().cloned());
        if rows {
            said.rows.extend(step.rows.iter().cloned());
        }
    }
}

/// The rows of `history` ([`history_schema`]) whose file, by (path, admitting time), is not among
/// `live`.
///
/// # Errors
/// The columns are not a history's.
pub fn gone_rows(
    history: &RecordBatch,
    live: &HashSet<(String, Time)>,
) -> Result<RecordBatch, ArrowError> {
    let width = history.num_columns().checked_sub(META_COLUMNS);
    let wrong = || ArrowError::SchemaError("admitting time, path and row are missing".to_string());
    let at = width.ok_or_else(wrong)?;
    let admitted = history.column(at).as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let paths = history.column(at + 1).as_string_opt::<i32>().ok_or_else(wrong)?;
    // Rows of one file lie together: one lookup serves a run of them.
    let mut last: Option<(&str, i64, bool)> = None;
    let gone: BooleanArray = (0..history.num_rows())
        .map(|i| {
            let (path, t) = (paths.value(i), admitted.value(i));
            let gone = match last {
                Some((p, s, gone)) if p == path && s == t => gone,
                _ => !live.contains(&(path.to_string(), t.cast_unsigned())),
            };
            last = Some((path, t, gone));
            Some(gone)
        })
        .collect();
    arrow::compute::filter_record_batch(history, &gone)
}

fn meta_columns(file: &SourceFile, batch: &FileBatch) -> [ArrayRef; META_COLUMNS] {
    let n = batch.rows.num_rows();
    let admitted = i64::try_from(file.admitted).expect("times are log positions, far below 2^63");
    let rows = batch.row_numbers.iter().map(|r| i64::try_from(*r).unwrap_or(i64::MAX));
    [
        Arc::new(Int64Array::from_value(admitted, n)),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&file.path, n))),
        Arc::new(Int64Array::from_iter_values(rows)),
    ]
}

/// `faults` at `time`, if there are any.
fn said(faults: &[Fault], time: Time) -> Option<Updates> {
    let n = faults.len();
    let all = || Updates::new(fault_columns(faults), Lane::constant(time, n), Lane::constant(1, n));
    (n > 0).then(all)
}

fn negated(mut updates: Updates) -> Updates {
    updates.count = match updates.count {
        Lane::Constant { value, len } => Lane::constant(-value, len),
        Lane::Each(values) => Lane::Each(values.iter().map(|v| -v).collect()),
    };
    updates
}

fn at_time(mut updates: Updates, time: Time) -> Updates {
    updates.times = Lane::constant(time, updates.len());
    updates
}

/// FNV-1a: which worker reads a file has to be the same in every process.
fn fnv(path: &str) -> u64 {
    path.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The columns of `<source>_history`: the source's, then admitting time, path and row number.
pub fn history_schema(source: &SchemaRef) -> SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema};
    let meta = [
        Field::new("_admitted", DataType::Int64, true),
        Field::new("_path", DataType::Utf8, true),
        Field::new("_row", DataType::Int64, true),
    ];
    let fields = source.fields().iter().cloned().chain(meta.into_iter().map(Arc::new));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
