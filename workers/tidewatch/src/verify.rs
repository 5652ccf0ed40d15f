//! `tidewatch verify`: recompute every view from the lake by batch SQL, and compare.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::prelude::SessionContext;
use engine::plan::{Mode, Upsert};
use engine::ports::{Reader, SourceFile};
use lake::Store;
use lake::lease::hold;
use lake::log::{LakeState, read_state};
use lake::published::Published;
use lake::source::LakeReader;
use sql::{Catalog, Difference, Oracle, SourceDef, compare};
use tokio::runtime::Runtime;

use crate::cli::{Format, Verify};
use crate::settings::Settings;
use crate::{catalog, outside, sql_query};

/// What verifying one view found.
pub struct Verdict {
    /// The view.
    pub view: String,
    /// Committed rows.
    pub rows: usize,
    /// Rows without a partner.
    pub differences: usize,
    /// Some of them.
    pub shown: Vec<Difference>,
    /// Rows of it, or of views it reads, that could not be evaluated. If there are any, it was not
    /// compared: a batch query knows no faults, and would fail or wrap.
    pub faulted: u64,
}

/// The verb.
pub fn command(args: &Verify, settings: &Settings) -> Result<ExitCode> {
    let verdicts = verify(&args.lake.lake, &args.views, args.show, settings)?;
    let total: usize = verdicts.iter().map(|v| v.differences).sum();
    for v in &verdicts {
        if args.format == Format::Json {
            let shown: Vec<_> = v
                .shown
                .iter()
                .map(|d| serde_json::json!({"row": d.row, "maintained": d.maintained}))
                .collect();
            println!(
                "{}",
                serde_json::json!({
                    "view": v.view, "rows": v.rows, "differences": v.differences, "shown": shown,
                    "compared": v.faulted == 0, "faulted": v.faulted,
                })
            );
            continue;
        }
        if v.faulted > 0 {
            println!(
                "{}: {} rows, NOT COMPARED: {} rows of it, or of views it reads, could not be \
                 evaluated (SELECT * FROM faults)",
                v.view, v.rows, v.faulted
            );
            continue;
        }
        println!("{}: {} rows, {} differences", v.view, v.rows, v.differences);
        for d in &v.shown {
            let side = if d.maintained { "only committed " } else { "only recomputed" };
            println!("  {side}: {}", d.row);
        }
    }
    if args.format != Format::Json {
        let skipped = verdicts.iter().filter(|v| v.faulted > 0).count();
        let compared = verdicts.len() - skipped;
        let skipped = match skipped {
            0 => String::new(),
            n => format!(", {n} not compared"),
        };
        println!("verify: {compared} views, {total} differences{skipped}");
    }
    Ok(if total == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Verify `views` (all, if empty) of a lake at its published time.
pub fn verify(
    lake: &str,
    views: &[String],
    show: usize,
    settings: &Settings,
) -> Result<Vec<Verdict>> {
    let runtime = outside::runtime()?;
    let store = Store::open(lake, &settings.s3, &std::env::current_dir()?)?;
    let state = runtime.block_on(read_state(&store))?;
    let catalog = catalog::plan(&catalog::from_log(&state))
        .with_context(|| format!("lake '{lake}' has no views yet"))?;
    let held = runtime.block_on(hold(&store, &outside::nonce(), outside::clock_us()))?;
    let Some(held) = held else {
        bail!("lake '{lake}' has nothing committed yet: run it first");
    };
    let lake = Lake { name: lake, store: &store, state: &state, catalog: &catalog };
    let verdicts = lake.verdicts(&held.published, views, show, settings, &runtime);
    let released = runtime.block_on(held.release(outside::clock_us()));
    let verdicts = verdicts?;
    released?;
    Ok(verdicts)
}

/// A lake that is verified.
struct Lake<'a> {
    name: &'a str,
    store: &'a Store,
    state: &'a LakeState,
    catalog: &'a Catalog,
}

impl Lake<'_> {
    fn verdicts(
        &self,
        published: &Published,
        views: &[String],
        show: usize,
        settings: &Settings,
        runtime: &Runtime,
    ) -> Result<Vec<Verdict>> {
        let Lake { name: lake, store, state, catalog } = *self;
        let newer = state.live_files().find(|f| f.admitted > published.t);
        ensure!(
            newer.is_none(),
            "lake '{lake}' has logged files that are not committed yet: \
         wait for `tidewatch run`, or run it with --once"
        );
        let mut oracle = Oracle::new(catalog);
        self.provide(&mut oracle, published, settings, runtime)?;
        let context = sql::query_session();
        runtime.block_on(sql_query::register(&context, store, catalog, published))?;
        let faults = runtime.block_on(faulted(&context, catalog))?;
        let mut verdicts = vec![];
        for view in catalog.views().iter().filter(|v| v.materialized) {
            if !views.is_empty() && !views.contains(&view.name) {
                continue;
            }
            let committed = runtime.block_on(committed(&context, &view.name, &view.schema))?;
            let rows = committed.iter().map(RecordBatch::num_rows).sum();
            let faulted = faults.get(view.name.as_str()).copied().unwrap_or(0);
            if faulted > 0 {
                let (view, shown) = (view.name.clone(), vec![]);
                verdicts.push(Verdict { view, rows, differences: 0, shown, faulted });
                continue;
            }
            let recomputed = runtime.block_on(oracle.rows(&view.name))?;
            let (differences, shown) = compare(&view.schema, &committed, &recomputed, show)?;
            verdicts.push(Verdict { view: view.name.clone(), rows, differences, shown, faulted });
        }
        if let Some(unknown) = views.iter().find(|v| verdicts.iter().all(|d| d.view != **v)) {
            bail!("lake '{lake}' has no materialized view '{unknown}'");
        }
        Ok(verdicts)
    }

    /// The rows of every source: of its live files, and of its committed history for files that
    /// are gone.
    fn provide(
        &self,
        oracle: &mut Oracle<'_>,
        published: &Published,
        settings: &Settings,
        runtime: &Runtime,
    ) -> Result<()> {
        let Lake { name, store, state, catalog } = *self;
        let created: Vec<_> = catalog::created(catalog, state).into_iter().collect();
        let sources = catalog::sources(catalog, &created, name, &settings.s3)?;
        let reader = LakeReader::new(sources, store.clone(), runtime.handle().clone());
        let histories = runtime.block_on(catalog::histories(
            catalog,
            state,
            store,
            &created,
            Some(published),
        ))?;
        let none = BTreeMap::new();
        for source in catalog.sources() {
            let files = state.files.get(&source.name).unwrap_or(&none);
            let live = files.values().map(|f| (f.path.clone(), f.admitted)).collect();
            let mut batches = vec![];
            for file in histories.iter().filter(|f| f.source == source.name) {
                for batch in reader.open(file)? {
                    batches.push(engine::gone_rows(&batch?.rows, &live)?);
                }
            }
            for file in files.values() {
                for batch in reader.open(file)? {
                    let batch = batch?;
                    batches.push(with_meta(file, &batch.rows, &batch.row_numbers)?);
                }
            }
            match &source.mode {
                Mode::Append | Mode::Replace => match &source.unique {
                    None => oracle.provide(&source.name, without_meta(&batches)?)?,
                    Some(key) => {
                        let first = runtime.block_on(first(source, key, &batches))?;
                        oracle.provide(&source.name, first)?;
                    }
                },
                Mode::Changes { diff } => {
                    oracle.provide(&source.name, accumulated(&batches, *diff)?)?;
                }
                Mode::Upsert(upsert) => {
                    let current = runtime.block_on(current(source, upsert, &batches))?;
                    oracle.provide(&source.name, current)?;
                    oracle.provide(&format!("{}_history", source.name), batches)?;
                }
            }
        }
        Ok(())
    }
}

/// How many rows of each view, and of the views it reads, could not be evaluated.
async fn faulted(context: &SessionContext, catalog: &Catalog) -> Result<HashMap<String, u64>> {
    let query = "SELECT origin, count(*) AS n FROM faults GROUP BY origin";
    let mut own: HashMap<String, u64> = HashMap::new();
    for batch in context.sql(query).await?.collect().await? {
        let (origins, counts) = (cast(batch.column(0), &DataType::Utf8)?, batch.column(1));
        let counts = counts.as_primitive::<Int64Type>();
        for (origin, n) in origins.as_string::<i32>().iter().zip(counts.values()) {
            own.insert(origin.unwrap_or_default().to_string(), n.cast_unsigned());
        }
    }
    let mut all: HashMap<String, u64> = HashMap::new();
    for view in catalog.views() {
        let read: u64 = view.reads.iter().filter_map(|r| all.get(r)).sum();
        let n = read + own.get(&view.name).copied().unwrap_or(0);
        all.insert(view.name.clone(), n);
    }
    Ok(all)
}

async fn committed(
    context: &SessionContext,
    view: &str,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    let batches = context.table(view).await?.collect().await?;
    let back = |b: &RecordBatch| -> Result<RecordBatch> {
        let columns = b.columns().iter().zip(schema.fields());
        let columns =
            columns.map(|(c, f)| cast(c, f.data_type())).collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    };
    batches.iter().map(back).collect()
}

fn with_meta(file: &SourceFile, rows: &RecordBatch, numbers: &[u64]) -> Result<RecordBatch> {
    let n = rows.num_rows();
    let schema = engine::history_schema(&rows.schema());
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(Int64Array::from_value(i64::try_from(file.admitted)?, n)));
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&file.path, n))));
    columns.push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|r| *r as i64))));
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn without_meta(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let plain = |b: &RecordBatch| {
        b.project(&(0..b.num_columns() - engine::META_COLUMNS).collect::<Vec<_>>())
    };
    Ok(batches.iter().map(plain).collect::<Result<_, _>>()?)
}

/// Rows added as often as their diffs add up to. Opposite rows meet by their content.
fn accumulated(batches: &[RecordBatch], diff: usize) -> Result<Vec<RecordBatch>> {
    let Some(first) = batches.first() else { return Ok(vec![]) };
    let all = concat_batches(&first.schema(), batches)?;
    let width = all.num_columns() - engine::META_COLUMNS;
    let kept: Vec<usize> = (0..width).filter(|c| *c != diff).collect();
    let rows = all.project(&kept)?;
    let fields = rows
        .schema()
        .fields()
        .iter()
        .map(|f| arrow::row::SortField::new(f.data_type().clone()))
        .collect();
    let converter = arrow::row::RowConverter::new(fields)?;
    let encoded = converter.convert_columns(rows.columns())?;
    let diffs = all.column(diff).as_primitive::<Int64Type>();
    let mut copies: BTreeMap<&[u8], (u32, i64)> = BTreeMap::new();
    for i in 0..rows.num_rows() {
        let entry = copies.entry(encoded.row(i).data()).or_insert((i as u32, 0));
        entry.1 += if diffs.is_valid(i) { diffs.value(i) } else { 0 };
    }
    let indices: Vec<u32> = copies
        .into_values()
        .flat_map(|(i, n)| std::iter::repeat_n(i, usize::try_from(n).unwrap_or(0)))
        .collect();
    let indices = UInt32Array::from(indices);
    let columns = rows.columns().iter().map(|c| take(c, &indices, None));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(vec![RecordBatch::try_new(rows.schema(), columns)?])
}

/// The newest version per key, in plain SQL.
async fn current(
    source: &SourceDef,
    upsert: &Upsert,
    history: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let name = |c: usize| format!("\"{}\"", source.schema.field(c).name());
    let version = upsert.version.map(|c| format!("{} DESC NULLS LAST, ", name(c)));
    let kept = upsert.deleted.map(|c| format!(" AND NOT coalesce({}, false)", name(c)));
    let order = format!("{}_admitted DESC, _path DESC, _row DESC", version.unwrap_or_default());
    one_per_key(source, &upsert.key, &order, &kept.unwrap_or_default(), history).await
}

/// The first row per key, in plain SQL.
async fn first(
    source: &SourceDef,
    key: &[usize],
    rows: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    one_per_key(source, key, "_admitted, _path, _row", "", rows).await
}

/// The row of each key that comes first by `order`, if `kept` holds of it.
async fn one_per_key(
    source: &SourceDef,
    key: &[usize],
    order: &str,
    kept: &str,
    rows: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let Some(first) = rows.first() else { return Ok(vec![]) };
    let name = |c: usize| format!("\"{}\"", source.schema.field(c).name());
    let keys: Vec<String> = key.iter().map(|c| name(*c)).collect();
    let columns: Vec<String> = (0..source.schema.fields().len()).map(name).collect();
    let query = format!(
        "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY {} ORDER BY {order}) AS _rank \
         FROM given) WHERE _rank = 1{kept}",
        columns.join(", "),
        keys.join(", "),
    );
    let context = sql::query_session();
    context.register_batch("given", concat_batches(&first.schema(), rows)?)?;
    Ok(context.sql(&query).await?.collect().await?)
}
