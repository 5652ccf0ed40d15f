//! Keeping a lake small while it is led: log checkpoints and vacuum, beside the work.

use std::process::ExitCode;

use anyhow::Result;
use indicatif::HumanBytes;
use lake::Store;
use lake::log::{LogSettings, Sequencer};
use lake::sink::table_folder;
use lake::vacuum::{Sweeper, Swept, VacuumSettings, vacuum};
use schemas::Time;
use sql::{Catalog, lower};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::settings::Settings;
use crate::{catalog, cli, outside};

/// Rounds of vacuum, one at a time, on the runtime's threads.
pub struct Upkeep {
    store: Store,
    runtime: Handle,
    sweeper: Sweeper,
    settings: VacuumSettings,
    commits_between: u64,
    commits: u64,
    round: Option<JoinHandle<()>>,
}

impl Upkeep {
    /// Upkeep of `store` by the incarnation `epoch`.
    pub fn new(
        store: &Store,
        runtime: &Handle,
        catalog: &Catalog,
        created: &[(String, Time)],
        epoch: Time,
        settings: &Settings,
    ) -> Result<Upkeep> {
        Ok(Upkeep {
            store: store.clone(),
            runtime: runtime.clone(),
            sweeper: sweeper(store, catalog, created, epoch)?,
            settings: vacuum_settings(settings),
            commits_between: settings.views.checkpoint_versions.max(1),
            commits: 0,
            round: None,
        })
    }

    /// Call after each commit.
    pub fn committed(&mut self) {
        self.commits += 1;
        let busy = self.round.as_ref().is_some_and(|r| !r.is_finished());
        if self.commits >= self.commits_between && !busy {
            self.commits = 0;
            self.round = Some(self.start());
        }
    }

    /// One last round.
    pub fn finish(mut self) {
        for round in [self.round.take(), Some(self.start())].into_iter().flatten() {
            if let Err(error) = self.runtime.block_on(round) {
                tracing::warn!(%error, "the lake was not vacuumed; the next run does it");
            }
        }
    }

    fn start(&self) -> JoinHandle<()> {
        let (store, sweeper, settings) = (self.store.clone(), self.sweeper.clone(), self.settings);
        self.runtime.spawn(async move {
            let nonce = outside::nonce();
            match vacuum(&store, &sweeper, settings, outside::clock_us(), &nonce).await {
                Ok(swept) => tracing::info!(?swept, "vacuumed"),
                Err(error) => {
                    tracing::warn!(%error, "the lake was not vacuumed; the next round does it");
                }
            }
        })
    }
}

fn vacuum_settings(settings: &Settings) -> VacuumSettings {
    let minutes = i64::try_from(settings.views.keep_minutes).unwrap_or(i64::MAX);
    VacuumSettings {
        keep_us: minutes.saturating_mul(60_000_000),
        checkpoint_versions: settings.views.checkpoint_versions,
    }
}

fn sweeper(
    store: &Store,
    catalog: &Catalog,
    created: &[(String, Time)],
    epoch: Time,
) -> Result<Sweeper> {
    let views = engine::views(&lower(catalog)?);
    let folder = |name: &str| {
        let at = created.iter().find(|(n, _)| n == name)?.1;
        Some(table_folder(name, at))
    };
    let tables = views.iter().filter_map(|v| folder(&v.name)).collect();
    Ok(Sweeper { epoch, alone: store.local.is_some(), tables })
}

/// `tidewatch lake vacuum`
pub fn command(args: &cli::Vacuum, settings: &Settings) -> Result<ExitCode> {
    let mut settings = settings.clone();
    if let Some(minutes) = args.keep_minutes {
        settings.views.keep_minutes = minutes;
    }
    let runtime = outside::runtime()?;
    let store = Store::open(&args.lake.lake, &settings.s3, &std::env::current_dir()?)?;
    let log = LogSettings {
        heartbeat_ms: settings.log.heartbeat_ms,
        checkpoint_entries: settings.log.checkpoint_entries,
        take_over: false,
    };
    let mut clock = outside::clock_us;
    let nonces = Box::new(outside::nonce);
    let led = Sequencer::lead(&store, outside::identity(), log, nonces, &mut clock);
    let (sequencer, state) = runtime.block_on(led)?;
    let swept = match state.statements.is_empty() {
        true => Swept::default(),
        false => {
            let catalog = catalog::plan(&catalog::from_log(&state))?;
            let created: Vec<_> = catalog::created(&catalog, &state).into_iter().collect();
            let sweeper = sweeper(&store, &catalog, &created, state.epoch)?;
            let settings = vacuum_settings(&settings);
            let (now, nonce) = (outside::clock_us(), outside::nonce());
            runtime.block_on(vacuum(&store, &sweeper, settings, now, &nonce))?
        }
    };
    runtime.block_on(sequencer.resign(outside::clock_us()))?;
    println!(
        "vacuum: {} files deleted, {} freed; {} log entries cut, {} checkpoints written",
        swept.files,
        HumanBytes(swept.bytes),
        swept.log_entries,
        swept.checkpoints
    );
    Ok(ExitCode::SUCCESS)
}
