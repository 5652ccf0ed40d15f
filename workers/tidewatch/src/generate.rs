//! `tidewatch lake generate`

use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use world::{Settings, World, write};

use crate::cli::Generate;

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

/// The verb.
pub fn command(args: &Generate, quiet: bool) -> Result<ExitCode> {
    let settings = Settings { seed: args.seed, campaigns: args.campaigns, days: args.days };
    let world = World::new(settings, args.json);
    let wanted = args.deliveries.map_or(world.deliveries(), |n| (n as u32).min(world.deliveries()));
    let progress = bar(u64::from(wanted), "generating", quiet);
    let (mut files, mut bytes) = (0, 0);
    for n in 0..wanted {
        let delivery = world.delivery(n)?;
        files += delivery.files.len();
        bytes += delivery.files.iter().map(|f| f.1.len()).sum::<usize>();
        write(&delivery, &args.dir)
            .with_context(|| format!("'{}' cannot be written", args.dir.display()))?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    println!("{}: {wanted} deliveries, {files} files, {} KiB", args.dir.display(), bytes / 1024);
    Ok(ExitCode::SUCCESS)
}
