//! `tidewatch run`: lead an incarnation of the lake until told to stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use engine::execute::{Cluster, Event, Feed, Job, execute, feed};
use engine::plan::Mode;
use engine::ports::{Entry, PortError, PortErrorKind, SourceFile};
use engine::rewrite::columns_read;
use lake::Store;
use lake::log::{LogSettings, Sequencer, Statement};
use lake::sink::{DeltaSink, Incarnation, SinkSettings};
use lake::source::{LakeReader, SourceConfig, changes, list, ready};
use sql::{Catalog, lower};
use tokio::runtime::{Handle, Runtime};

use crate::cli;
use crate::cluster::{self, Briefing, Followers};
use crate::settings::Settings;
use crate::upkeep::Upkeep;
use crate::{catalog, outside};

/// Incarnations in a row that end because files change while they are read.
const RESTARTS_MAX: u32 = 20;

/// What a leader is asked to do.
pub struct Leading<'a> {
    /// The lake, as given.
    pub lake: &'a str,
    /// Statements (origin, text); empty: those the lake has.
    pub statements: Vec<(String, String)>,
    /// Stop once everything that is there is committed.
    pub once: bool,
    /// Lead even though somebody else seems to.
    pub take_over: bool,
    /// Threads and processes.
    pub cluster: Cluster,
    /// Set when it is time to stop.
    pub stop: Arc<AtomicBool>,
    /// Called after each commit.
    pub report: &'a dyn Fn(&Committed),
}

/// One commit, as a leader sees it.
#[derive(Clone, Copy, Debug)]
pub struct Committed {
    /// The time.
    pub time: u64,
    /// Files of the entries it covers.
    pub files: usize,
    /// Rows inserted into all views.
    pub rows_inserted: u64,
    /// Rows deleted from all views.
    pub rows_deleted: u64,
    /// From the log entry to the publication.
    pub took: Duration,
}

/// The verb.
pub fn command(
    args: &cli::Run,
    settings: &Settings,
    config: Option<&Path>,
    quiet: bool,
) -> Result<ExitCode> {
    let threads = usize::from(args.workers);
    let hosts_file = std::env::temp_dir().join(format!("tidewatch-hosts-{}", std::process::id()));
    let (cluster, followers) = match (args.processes, &args.hosts, args.process) {
        (Some(n), ..) if n > 1 => {
            let n = usize::from(n);
            let (cluster, followers) = Followers::start(n, threads, &hosts_file, config)?;
            (cluster, Some(followers))
        }
        (_, Some(hosts), Some(process)) => {
            let cluster = cluster::from_hosts(hosts, process, threads, args.plaintext)?;
            if process > 0 {
                return follow_cluster(&cluster, &args.lake.lake, settings);
            }
            (cluster, None)
        }
        _ => (Cluster::threads(threads), None),
    };
    let report = |c: &Committed| {
        if !quiet {
            eprintln!(
                "t={}: {} files, {} rows in, {} rows out, {:.0} ms",
                c.time,
                c.files,
                c.rows_inserted,
                c.rows_deleted,
                c.took.as_secs_f64() * 1e3
            );
        }
    };
    let leading = Leading {
        lake: &args.lake.lake,
        statements: catalog::from_files(&args.sql)?,
        once: args.once,
        take_over: args.take_over,
        cluster,
        stop: outside::stop_flag()?,
        report: &report,
    };
    let led = lead(&leading, settings);
    if led.is_err() {
        // Its followers end with it, and its own connections to them break before it says why.
        outside::end_for_own_reason();
    }
    let _ = std::fs::remove_file(&hosts_file);
    led?;
    if let Some(followers) = followers {
        followers.wait()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A follower that a leader started on this machine.
pub fn follow(args: &cli::Follow, settings: &Settings) -> Result<ExitCode> {
    cluster::end_with_leader();
    let cluster = cluster::from_hosts(&args.hosts, args.process, usize::from(args.workers), false)?;
    follow_cluster(&cluster, "", settings)
}

fn follow_cluster(cluster: &Cluster, lake: &str, settings: &Settings) -> Result<ExitCode> {
    let briefing: Briefing = cluster::briefed(cluster)?;
    let settings = &Settings { views: briefing.views.clone(), ..settings.clone() };
    let lake = if lake.is_empty() { briefing.lake.clone() } else { lake.to_string() };
    let runtime = outside::runtime()?;
    let store = Store::open(&lake, &settings.s3, &std::env::current_dir()?)?;
    let catalog = catalog::plan(&briefing.statements)?;
    let sources = catalog::sources(&catalog, &briefing.created, &lake, &settings.s3)?;
    let job = job(&catalog, sources, store, &briefing, settings, runtime.handle())?;
    execute(cluster, job, None, |_| ())?;
    Ok(ExitCode::SUCCESS)
}

fn job(
    catalog: &Catalog,
    sources: Vec<SourceConfig>,
    store: Store,
    briefing: &Briefing,
    settings: &Settings,
    runtime: &Handle,
) -> Result<Job> {
    let incarnation =
        Incarnation { epoch: briefing.epoch, created: briefing.created.iter().cloned().collect() };
    let sink = SinkSettings {
        file_rows_max: usize::try_from(settings.views.file_rows_max).unwrap_or(usize::MAX),
        bucket_days: settings.views.bucket_days,
    };
    let outside = outside::outside();
    let plan = lower(catalog)?;
    let reader = LakeReader::new(sources, store.clone(), runtime.clone());
    let budget = settings.memory.budget()?;
    let sink = DeltaSink::new(store, runtime.clone(), incarnation, sink, outside);
    Ok(Job {
        reader: Arc::new(reader.asked(columns_read(&plan))),
        plan,
        sink: Arc::new(sink.with_budget(budget.clone())),
        epoch: briefing.start,
        budget,
    })
}

/// Why an incarnation ended.
enum End {
    /// It was told to, or everything is committed.
    Done,
    /// Files it had read are gone or changed: the next one begins without them.
    Again,
}

/// Lead until told to stop.
pub fn lead(leading: &Leading<'_>, settings: &Settings) -> Result<()> {
    let runtime = outside::runtime()?;
    let store = Store::open(leading.lake, &settings.s3, &std::env::current_dir()?)?;
    let mut restarts = 0;
    loop {
        match incarnation(leading, settings, &runtime, &store) {
            Ok(End::Done) => return Ok(()),
            Ok(End::Again) => restarts += 1,
            Err(e) if gone(&e) && restarts < RESTARTS_MAX => {
                tracing::info!("a file changed while it was read: {e:#}");
                restarts += 1;
            }
            Err(e) => return Err(e),
        }
        if leading.cluster.hosts.len() > 1 {
            return Err(PortError::new(
                PortErrorKind::Outage,
                "a file or a view's table was changed by others, and the cluster has to start again",
            )
            .into());
        }
    }
}

fn gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<PortError>().is_some_and(|e| e.kind() == PortErrorKind::Gone)
}

fn incarnation(
    leading: &Leading<'_>,
    settings: &Settings,
    runtime: &Runtime,
    store: &Store,
) -> Result<End> {
    let log = LogSettings {
        heartbeat_ms: settings.log.heartbeat_ms,
        checkpoint_entries: settings.log.checkpoint_entries,
        take_over: leading.take_over,
    };
    // Errors in the SQL come before anything is written.
    let mut texts = leading.statements.clone();
    let given = (!texts.is_empty()).then(|| catalog::plan(&texts)).transpose()?;
    if let Some(catalog) = &given {
        lower(catalog)?;
    }
    let nonces = Box::new(outside::nonce);
    let mut clock = outside::clock_us;
    let led = Sequencer::lead(store, outside::identity(), log, nonces, &mut clock);
    let (sequencer, state) = runtime.block_on(led)?;
    let catalog = match given {
        Some(catalog) => catalog,
        None => {
            texts = catalog::from_log(&state);
            catalog::plan(&texts)?
        }
    };
    let statements = catalog::difference(&catalog, &state);
    let followed = catalog::sources(&catalog, &[], leading.lake, &settings.s3)?;
    let mut following = Following {
        leading,
        settings,
        runtime,
        catalog: &catalog,
        sources: &followed,
        sequencer,
        seen: BTreeMap::new(),
        sent: BTreeMap::new(),
        upkeep: None,
    };
    following.first_listing(statements)?;
    let state = following.sequencer.state().clone();
    let briefing = Briefing {
        lake: leading.lake.to_string(),
        statements: texts,
        epoch: state.epoch,
        start: state.t,
        created: catalog::created(&catalog, &state).into_iter().collect(),
        views: settings.views.clone(),
    };
    if leading.cluster.hosts.len() > 1 {
        cluster::brief(&leading.cluster, &briefing)?;
    }
    following.upkeep = Some(Upkeep::new(
        store,
        runtime.handle(),
        &catalog,
        &briefing.created,
        state.epoch,
        settings,
    )?);
    let histories =
        runtime.block_on(catalog::histories(&catalog, &state, store, &briefing.created, None))?;
    let sources = catalog::sources(&catalog, &briefing.created, leading.lake, &settings.s3)?;
    let job = job(&catalog, sources, store.clone(), &briefing, settings, runtime.handle())?;
    let (feed, entries) = feed();
    let (tell, events) = channel();
    let cluster = leading.cluster.clone();
    let workers = std::thread::spawn(move || {
        execute(&cluster, job, Some(entries), move |e| tell.send(e).unwrap_or(()))
    });
    let mut live: Vec<SourceFile> = state.live_files().cloned().collect();
    live.extend(histories);
    following.sent.insert(state.t, (Instant::now(), live.len()));
    let faults = catalog::losses(&catalog, &state);
    feed.send(Entry { time: state.t, added: live, gone: vec![], faults });
    let end = following.follow(&feed, &events, &workers);
    drop(feed);
    let finished = workers.join().map_err(|_| anyhow!("a worker panicked"))?;
    while let Ok(event) = events.try_recv() {
        following.note(event);
    }
    finished?;
    let end = end?;
    if let (End::Done, Some(upkeep)) = (&end, following.upkeep.take()) {
        upkeep.finish();
    }
    runtime.block_on(following.sequencer.resign(outside::clock_us()))?;
    Ok(end)
}

/// Source, path and etag of a file.
type Seen = (String, String, String);

/// A leader that follows its sources.
struct Following<'a> {
    leading: &'a Leading<'a>,
    settings: &'a Settings,
    runtime: &'a Runtime,
    catalog: &'a Catalog,
    sources: &'a [SourceConfig],
    sequencer: Sequencer,
    /// Files that are not logged yet, and since when they have been as they are.
    seen: BTreeMap<Seen, i64>,
    /// Entries under way: when they were logged, and their files.
    sent: BTreeMap<u64, (Instant, usize)>,
    /// `None` before the workers start.
    upkeep: Option<Upkeep>,
}

impl Following<'_> {
    /// Log what is new in the catalog, and the files that are there, before the workers start. It
    /// is one entry: files that a source had when it was declared are known by its time. Files that
    /// are being written are waited for.
    fn first_listing(&mut self, statements: Vec<Statement>) -> Result<()> {
        loop {
            let (added, gone, waiting) = self.changes()?;
            if waiting == 0 || self.leading.stop.load(Ordering::SeqCst) {
                if !added.is_empty() || !gone.is_empty() || !statements.is_empty() {
                    let clock = outside::clock_us();
                    self.runtime.block_on(self.sequencer.append(added, gone, statements, clock))?;
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Files that came and went, and how many are not whole yet.
    fn changes(&mut self) -> Result<(Vec<SourceFile>, Vec<SourceFile>, usize)> {
        let state = self.sequencer.state();
        let now_us = outside::clock_us();
        let settle_ms = self.settings.sources.settle_ms;
        let (mut added, mut gone, mut waiting) = (vec![], vec![], 0);
        let mut seen = BTreeMap::new();
        for config in self.sources {
            let listed = self.runtime.block_on(list(config))?;
            let live: Vec<&SourceFile> =
                state.files.get(&config.name).map(|f| f.values().collect()).unwrap_or_default();
            let (new, lost) = changes(&config.name, &listed, &live);
            // An overwritten file leaves when its successor is whole.
            let mut early = vec![];
            for file in new {
                let Some(found) = listed.iter().find(|l| l.path == file.path) else { continue };
                let key = (file.source.clone(), file.path.clone(), file.etag.clone());
                let seen_us = self.seen.get(&key).copied().unwrap_or(now_us);
                match self.runtime.block_on(ready(config, found, seen_us, now_us, settle_ms))? {
                    true => added.push(file),
                    false => early.push(file.path),
                }
                seen.insert(key, seen_us);
            }
            waiting += early.len();
            gone.extend(lost.into_iter().filter(|f| !early.contains(&f.path)));
        }
        let known = |f: &SourceFile| self.sources.iter().any(|s| s.name == f.source);
        gone.extend(state.live_files().filter(|f| !known(f)).cloned());
        self.seen = seen;
        Ok((added, gone, waiting))
    }

    fn follow(
        &mut self,
        feed: &Feed,
        events: &Receiver<Event>,
        workers: &JoinHandle<Result<(), PortError>>,
    ) -> Result<End> {
        let poll = Duration::from_millis(self.settings.sources.poll_ms);
        let heartbeat = Duration::from_millis(self.settings.log.heartbeat_ms);
        let mut appended = Instant::now();
        loop {
            let due = Instant::now() + poll;
            while Instant::now() < due {
                let wait =
                    due.saturating_duration_since(Instant::now()).min(Duration::from_millis(20));
                match events.recv_timeout(wait) {
                    Ok(event) => self.note(event),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(End::Done),
                }
                if workers.is_finished() || self.leading.stop.load(Ordering::SeqCst) {
                    return Ok(End::Done);
                }
                if self.leading.once && self.sent.is_empty() {
                    break;
                }
            }
            let (added, gone, waiting) = self.changes()?;
            if !added.is_empty() || !gone.is_empty() {
                appended = Instant::now();
                if self.append(feed, added, gone)? {
                    return Ok(End::Again);
                }
            } else if self.leading.once && waiting == 0 && self.sent.is_empty() {
                return Ok(End::Done);
            } else if self.leading.lake.contains("://") && appended.elapsed() > heartbeat {
                appended = Instant::now();
                self.append(feed, vec![], vec![])?;
            }
        }
    }

    /// Log and hand on. Whether the workers have to begin again: only a replaced file's rows can
    /// be taken back while they run, and an upsert source keeps those it has.
    fn append(
        &mut self,
        feed: &Feed,
        added: Vec<SourceFile>,
        gone: Vec<SourceFile>,
    ) -> Result<bool> {
        let goes_on = |f: &SourceFile| {
            let mode = self.catalog.source(&f.source).map(|s| &s.mode);
            matches!(mode, Some(Mode::Replace | Mode::Upsert(_)))
        };
        let again = !gone.iter().all(goes_on);
        let clock = outside::clock_us();
        let logged = Instant::now();
        let append = self.sequencer.append(added, gone, vec![], clock);
        let entry = self.runtime.block_on(append).context("the log")?;
        if again {
            return Ok(true);
        }
        self.sent.insert(entry.time, (logged, entry.added.len() + entry.gone.len()));
        feed.send(entry);
        Ok(false)
    }

    fn note(&mut self, event: Event) {
        let Event::Committed { time, rows_inserted, rows_deleted } = event;
        if let Some(upkeep) = &mut self.upkeep {
            upkeep.committed();
        }
        let later = self.sent.split_off(&(time + 1));
        let done = std::mem::replace(&mut self.sent, later);
        let files = done.values().map(|(_, files)| files).sum();
        let took = done.values().next().map_or(Duration::ZERO, |(at, _)| at.elapsed());
        (self.leading.report)(&Committed { time, files, rows_inserted, rows_deleted, took });
    }
}
