//! `tidewatch demo`: a lake, a week of restatements, every view verified.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use engine::execute::Cluster;
use world::{World, write};

use crate::cli::Demo;
use crate::generate::bar;
use crate::run::{Committed, Leading, lead};
use crate::settings::Settings;
use crate::{outside, verify};

/// The dataflow of the demo.
const FEATURES: &str =
    include_str!("../../../dataflows/campaign_features/campaign_features.sql");

/// The verb.
pub fn demo(args: &Demo, settings: &Settings, quiet: bool) -> Result<ExitCode> {
    let temporary = tempfile::tempdir().context("no temporary folder")?;
    let root = args.dir.clone().unwrap_or_else(|| temporary.path().join("lake"));
    let empty = std::fs::read_dir(&root).map_or(true, |mut d| d.next().is_none());
    ensure!(empty, "'{}' is not empty: name a folder that is", root.display());
    std::fs::create_dir_all(&root)
        .with_context(|| format!("'{}' cannot be made", root.display()))?;
    let world = World::new(
        world::Settings { seed: args.seed, campaigns: args.campaigns, days: args.days },
        false,
    );
    println!("A lake of {} campaigns over {} days in {}", args.campaigns, args.days, root.display());
    let mut settings = settings.clone();
    // The demo writes files whole; nothing has to settle.
    settings.sources.settle_ms = 0;
    settings.sources.poll_ms = 20;
    let deliveries = world.deliveries();
    let progress = bar(u64::from(deliveries), "deliveries", quiet);
    let stop = outside::stop_flag()?;
    for n in 0..deliveries {
        let delivery = world.delivery(n)?;
        write(&delivery, &root)?;
        let commits: RefCell<Vec<Committed>> = RefCell::new(vec![]);
        let report = |c: &Committed| commits.borrow_mut().push(*c);
        let leading = Leading {
            lake: &root.display().to_string(),
            statements: statements(),
            once: true,
            take_over: false,
            cluster: Cluster::threads(args.workers),
            stop: stop.clone(),
            report: &report,
        };
        lead(&leading, &settings)?;
        let what = if n == 0 { "history " } else { "delivery" };
        let taken = commits.borrow();
        let sum = |f: fn(&Committed) -> u64| taken.iter().map(f).sum::<u64>();
        let took_ms: f64 = taken.iter().map(|c| c.took.as_secs_f64() * 1e3).sum();
        progress.suspend(|| {
            println!(
                "{what} {n}: {} files, {} rows in, {} rows out, committed in {took_ms:.0} ms",
                delivery.files.len(),
                sum(|c| c.rows_inserted),
                sum(|c| c.rows_deleted),
            );
        });
        if args.verify_each {
            verified(&root, &settings, false)?;
        }
        progress.inc(1);
        if stop.load(std::sync::atomic::Ordering::SeqCst) {
            break;
        }
    }
    progress.finish_and_clear();
    let differences = verified(&root, &settings, true)?;
    if args.dir.is_some() {
        println!(
            "try: tidewatch sql --lake {} 'SELECT campaign_id, metric_hour, roas_7d, cost_zscore \
             FROM campaign_features ORDER BY abs(cost_zscore) DESC LIMIT 5'",
            root.display()
        );
    }
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The lake's tables, and the features.
pub fn statements() -> Vec<(String, String)> {
    let tables = schemas::tables::TABLES.map(|(n, ddl)| (format!("{n}.sql"), ddl.to_string()));
    let features = ("campaign_features.sql".to_string(), FEATURES.to_string());
    tables.into_iter().chain([features]).collect()
}

fn verified(root: &Path, settings: &Settings, print: bool) -> Result<usize> {
    let verdicts = verify::verify(&root.display().to_string(), &[], 3, settings)?;
    let total = verdicts.iter().map(|v| v.differences).sum();
    for v in verdicts.iter().filter(|v| print || v.differences > 0) {
        println!("{}: {} rows, {} differences", v.view, v.rows, v.differences);
        v.shown.iter().for_each(|d| println!("  {d:?}"));
    }
    if print {
        println!("verify: {} views, {total} differences", verdicts.len());
    }
    Ok(total)
}
