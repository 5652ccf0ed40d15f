//! `tidewatch sql`: committed views, all at one published time.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::prelude::SessionContext;
use lake::Store;
use lake::delta::{Table, stored_schema};
use lake::lease::hold;
use lake::published::Published;
use sql::Catalog;

use crate::cli::Sql;
use crate::settings::Settings;
use crate::{catalog, outside, print};

/// The verb.
pub fn command(args: &Sql, settings: &Settings) -> Result<ExitCode> {
    let mut query = args.query.clone();
    if query == "-" {
        query.clear();
        std::io::stdin().read_to_string(&mut query)?;
    }
    let runtime = outside::runtime()?;
    let store = Store::open(&args.lake.lake, &settings.s3, &std::env::current_dir()?)?;
    let (schema, batches) = runtime.block_on(async {
        let state = lake::log::read_state(&store).await?;
        let catalog = catalog::plan(&catalog::from_log(&state))
            .with_context(|| format!("lake '{}' has no views yet", args.lake.lake))?;
        let held = hold(&store, &outside::nonce(), outside::clock_us()).await?;
        let Some(held) = held else {
            bail!("lake '{}' has nothing committed yet: run it first", args.lake.lake);
        };
        let answer = answer(&store, &catalog, &held.published, &query).await;
        let released = held.release(outside::clock_us()).await;
        let answer = answer?;
        released?;
        anyhow::Ok(answer)
    })?;
    let mut out = std::io::stdout().lock();
    match print::rows(&mut out, &schema, &batches, args.format) {
        Err(e) if broken_pipe(&e) => Ok(ExitCode::SUCCESS),
        other => {
            other?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn answer(
    store: &Store,
    catalog: &Catalog,
    published: &Published,
    query: &str,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let context = sql::query_session();
    register(&context, store, catalog, published).await?;
    let frame = sql::query(&context, query.trim().trim_end_matches(';')).await?;
    if let Some(warning) = sql::mixed_currencies(catalog, frame.logical_plan())? {
        eprintln!("warning: {warning}");
    }
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(sql::SqlError::from)?;
    Ok((schema, batches))
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        e.downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Every published view as a table of `context`.
pub async fn register(
    context: &SessionContext,
    store: &Store,
    catalog: &Catalog,
    published: &Published,
) -> Result<()> {
    for view in engine::views(&sql::lower(catalog)?) {
        let Some(at) = published.views.get(&view.name) else { continue };
        let table = Table::load(store, &at.folder, Some(at.version)).await?;
        let schema = stored_schema(&view.schema);
        let paths: Vec<String> = table.files.keys().map(|f| format!("{}/{f}", at.folder)).collect();
        register_files(context, store, &view.name, &schema, &paths).await?;
    }
    Ok(())
}

async fn register_files(
    context: &SessionContext,
    store: &Store,
    name: &str,
    schema: &SchemaRef,
    paths: &[String],
) -> Result<()> {
    if paths.is_empty() {
        let empty = MemTable::try_new(Arc::new(Schema::clone(schema)), vec![vec![]])?;
        context.register_table(name, Arc::new(empty))?;
        return Ok(());
    }
    let (base, root) = match &store.local {
        Some(folder) => ("file://".to_string(), folder.display().to_string()),
        None => ("lake://lake".to_string(), String::new()),
    };
    if store.local.is_none() {
        let url = datafusion::execution::object_store::ObjectStoreUrl::parse("lake://lake")?;
        context.register_object_store(url.as_ref(), store.inner.clone());
    }
    let url = |p: &String| {
        let inside = match &store.local {
            Some(_) => format!("{root}/{p}"),
            None => format!("/{}", store.path(p)),
        };
        ListingTableUrl::parse(format!("{base}{inside}"))
    };
    let urls = paths.iter().map(url).collect::<Result<Vec<_>, _>>()?;
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema.clone());
    context.register_table(name, Arc::new(ListingTable::try_new(config)?))?;
    Ok(())
}
