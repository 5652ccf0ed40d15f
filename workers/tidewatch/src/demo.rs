//! `tidewatch demo`: a lake, a week of restatements, every view verified.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use engine::execute::Cluster;
use world::{World, write};

use crate::cli::Demo;
use crate::generate::bar;
use crate::run::{Committed, Leading, lead};
use crate::settings::Settings;
use crate::{outside, verify};

/// The dataflow of the demo.
const FEATURES: &str = include_str!("../../../dataflows/campaign_features/campaign_features.sql");

/// The verb.
pub fn demo(args: &Demo, settings: &Settings, quiet: bool) -> Result<ExitCode> {
    let temporary = tempfile::tempdir().context("no temporary folder")?;
    let root = args.dir.clone().unwrap_or_else(|| temporary.path().join("lake"));
    let empty = std::fs::read_dir(&root).map_or(true, |mut d| d.next().is_none());
    ensure!(empty, "'{}' is not empty: name a folder that is", root.display());
    std::fs::create_dir_all(&root)
        .with_context(|| format!("'{}' cannot be made", root.display()))?;
    let world = World::new(
        world::Settings {
            seed: args.seed,
            campaigns: args.campaigns,
            days: args.days,
            ..world::Settings::default()
        },
        false,
    );
    println!(
        "A lake of {} campaigns over {} days in {}",
        args.campaigns,
        args.days,
        root.display()
    );
    let mut settings = settings.clone();
    // The demo writes files whole; nothing has to settle.
    settings.sources.settle_ms = 0;
    settings.sources.poll_ms = 20;
    let progress = bar(u64::from(world.deliveries()), "deliveries", quiet);
    let stop = outside::stop_flag()?;
    let lake = root.display().to_string();
    let arrival = Arrival {
        world: &world,
        root: &root,
        settings: &settings,
        verify_each: args.verify_each,
        progress: &progress,
        stop: stop.clone(),
        state: RefCell::new(State::default()),
    };
    arrival.next()?;
    let report = |c: &Committed| arrival.committed(c);
    let leading = Leading {
        lake: &lake,
        statements: statements(),
        once: false,
        take_over: false,
        cluster: Cluster::threads(args.workers),
        stop,
        report: &report,
    };
    lead(&leading, &settings)?;
    if let Some(error) = arrival.state.into_inner().failed {
        return Err(error);
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

/// Deliveries, each as soon as the one before is committed.
struct Arrival<'a> {
    world: &'a World,
    root: &'a Path,
    settings: &'a Settings,
    verify_each: bool,
    progress: &'a indicatif::ProgressBar,
    stop: Arc<AtomicBool>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// Deliveries written.
    written: u32,
    /// Files written and not committed yet.
    files: usize,
    failed: Option<anyhow::Error>,
}

impl Arrival<'_> {
    /// Write the next delivery; `false` if there is none.
    fn next(&self) -> Result<bool> {
        let n = self.state.borrow().written;
        if n == self.world.deliveries() {
            return Ok(false);
        }
        let delivery = self.world.delivery(n)?;
        write(&delivery, self.root)?;
        let mut state = self.state.borrow_mut();
        state.written += 1;
        // The demo reads some of the world's tables; the others' files are never committed.
        let read = |path: &str| {
            let folder = path.split('/').next().unwrap_or_default();
            schemas::tables::TABLES.iter().any(|(table, _)| *table == folder)
        };
        state.files += delivery.files.iter().filter(|(path, _)| read(path)).count();
        Ok(true)
    }

    fn committed(&self, c: &Committed) {
        let done = {
            let mut state = self.state.borrow_mut();
            state.files = state.files.saturating_sub(c.files);
            state.files == 0
        };
        let what = if self.state.borrow().written == 1 { "history" } else { "restated" };
        self.progress.suspend(|| {
            println!(
                "{what}: {} files, {} rows in, {} rows out, committed in {:.0} ms",
                c.files,
                c.rows_inserted,
                c.rows_deleted,
                c.took.as_secs_f64() * 1e3
            );
        });
        if !done {
            return;
        }
        self.progress.inc(1);
        let checked = match self.verify_each {
            true => verified(self.root, self.settings, false).map(|_| ()),
            false => Ok(()),
        };
        match checked.and_then(|()| self.next()) {
            Ok(true) => {}
            Ok(false) => self.stop.store(true, Ordering::SeqCst),
            Err(error) => {
                self.state.borrow_mut().failed = Some(error);
                self.stop.store(true, Ordering::SeqCst);
            }
        }
    }
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
