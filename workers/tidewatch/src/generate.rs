//! `tidewatch lake generate`

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use world::{Settings, World, write};

use crate::cli::{self, Generate, Size};

/// A bar on standard error, hidden if `quiet` or no terminal.
pub fn bar(length: u64, what: &'static str, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:32} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    bar
}

/// Campaigns, days and live days of a size.
fn size(size: Option<Size>) -> (u32, u32, u32) {
    match size {
        None => (20, 60, world::LIVE_DAYS),
        Some(Size::Demo) => (12, 42, world::LIVE_DAYS),
        Some(Size::Small) => (200, 60, world::LIVE_DAYS),
        Some(Size::M2) => (200, 90, world::LIVE_DAYS),
        Some(Size::M20) => (940, 180, world::LIVE_DAYS),
        Some(Size::M100) => (2_300, 365, world::LIVE_DAYS),
    }
}

fn settings(args: &Generate) -> Settings {
    let (campaigns, days, live_days) = size(args.size);
    Settings {
        seed: args.seed,
        campaigns: args.campaigns.unwrap_or(campaigns),
        days: args.days.unwrap_or(days),
        noise: match args.noise {
            cli::Noise::Low => world::Noise::Low,
            cli::Noise::Middle => world::Noise::Middle,
            cli::Noise::High => world::Noise::High,
        },
        kind: if args.null { world::WorldKind::Null } else { world::WorldKind::Incidents },
        purpose: match args.purpose {
            cli::Purpose::Training => world::Purpose::Training,
            cli::Purpose::Evaluation => world::Purpose::Evaluation,
        },
        live_days: args.live_days.unwrap_or(live_days),
        deliveries_per_day: args.deliveries_per_day,
        begin_week: args.begin_week,
        banners: !args.no_banners,
    }
}

/// What was written.
#[derive(Default)]
struct Written {
    files: AtomicUsize,
    bytes: AtomicUsize,
}

/// The verb.
pub fn command(args: &Generate, quiet: bool) -> Result<ExitCode> {
    let world = World::new(settings(args), args.json);
    let wanted = args.deliveries.unwrap_or(u32::MAX).min(world.deliveries());
    let parts = (0..wanted).map(|n| u64::from(world.parts(n))).sum();
    let progress = bar(parts, "generating", quiet);
    let written = Written::default();
    for n in 0..wanted {
        deliver(&world, n, args, &progress, &written)?;
    }
    progress.finish_and_clear();
    println!(
        "{}: {wanted} deliveries, {} files, {} KiB; {} incidents, {} benign twins",
        args.dir.display(),
        written.files.into_inner(),
        written.bytes.into_inner() / 1024,
        world.incidents().len(),
        world.twins().len(),
    );
    Ok(ExitCode::SUCCESS)
}

/// Write one delivery, its parts on several threads; nothing of it stays in memory.
fn deliver(
    world: &World,
    n: u32,
    args: &Generate,
    progress: &ProgressBar,
    written: &Written,
) -> Result<()> {
    let next = AtomicU32::new(0);
    let work = || -> Result<()> {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= world.parts(n) {
                return Ok(());
            }
            let delivery = world.part(n, part)?;
            write(&delivery, &args.dir)
                .with_context(|| format!("'{}' cannot be written", args.dir.display()))?;
            let bytes: usize = delivery.files.iter().map(|f| f.1.len()).sum();
            written.files.fetch_add(delivery.files.len(), Ordering::Relaxed);
            written.bytes.fetch_add(bytes, Ordering::Relaxed);
            progress.inc(1);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(|t| t.join().expect("a writing thread ends"));
        ended.collect::<Result<Vec<()>>>().map(|_| ())
    })
}
