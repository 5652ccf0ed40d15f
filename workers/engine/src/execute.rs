//! Run a plan: threads and processes, entries in, commits out.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use arrangement::Budget;
use schemas::Time;
use timely::communication::WorkerGuards;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Input;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Broadcast;
use timely::worker::Worker;
use timely::{CommunicationConfig, Config};

use crate::operators::{Context, Failure};
use crate::plan::Plan;
use crate::ports::{Entry, PortError, PortErrorKind, Reader, Sink, WorkerId};
use crate::render::{Ends, render};

/// Longest sleep of an idle worker that nothing wakes.
const PARK: Duration = Duration::from_millis(20);
/// How long workers of a failed process hold their connections, so that it can say why it ends
/// before others end for its sake.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Threads and processes of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Worker threads per process.
    pub threads: usize,
    /// This process, from 0. Process 0 leads.
    pub process: usize,
    /// `host:port` of every process; empty or one entry: a single process.
    pub hosts: Vec<String>,
}

impl Cluster {
    /// One process of `threads` workers.
    pub fn threads(threads: usize) -> Self {
        Cluster { threads, process: 0, hosts: vec![] }
    }

    fn config(&self) -> Config {
        let communication = match (self.hosts.len(), self.threads) {
            (0 | 1, 0 | 1) => CommunicationConfig::Thread,
            (0 | 1, n) => CommunicationConfig::Process(n),
            _ => CommunicationConfig::Cluster {
                threads: self.threads.max(1),
                process: self.process,
                addresses: self.hosts.clone(),
                report: false,
                zerocopy: false,
            },
        };
        Config { communication, worker: timely::WorkerConfig::default() }
    }
}

/// What is run.
#[derive(Clone)]
pub struct Job {
    /// The dataflow.
    pub plan: Plan,
    /// Opens files.
    pub reader: Arc<dyn Reader>,
    /// Takes views.
    pub sink: Arc<dyn Sink>,
    /// The first time to commit: the incarnation's own.
    pub epoch: Time,
    /// What state may take in memory.
    pub budget: Budget,
}

/// What a run tells its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// All views are committed and published at `time`.
    Committed {
        /// The time.
        time: Time,
        /// Rows inserted into all views since the last commit.
        rows_inserted: u64,
        /// Rows deleted from all views since the last commit.
        rows_deleted: u64,
    },
}

/// The leader's end of a run: entries go in, in order. Dropping it ends the run once everything
/// is committed.
pub struct Feed {
    entries: Sender<Entry>,
    worker: Arc<OnceLock<Thread>>,
}

impl Feed {
    /// Hand an entry to the workers. `false` if they have stopped.
    pub fn send(&self, entry: Entry) -> bool {
        let sent = self.entries.send(entry).is_ok();
        self.wake();
        sent
    }

    fn wake(&self) {
        if let Some(worker) = self.worker.get() {
            worker.unpark();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.wake();
    }
}

/// The workers' end of a [`Feed`].
pub struct Entries {
    entries: Receiver<Entry>,
    worker: Arc<OnceLock<Thread>>,
}

/// A feed for the leading process.
pub fn feed() -> (Feed, Entries) {
    let (sender, receiver) = channel();
    let worker = Arc::new(OnceLock::new());
    (Feed { entries: sender, worker: worker.clone() }, Entries { entries: receiver, worker })
}

/// Run `job` until its feed ends. Process 0 passes the entries; the others follow it.
/// `on_event` is called on worker 0's thread of process 0.
///
/// # Errors
/// The first port error of any worker of this process; `Invalid` if the cluster cannot be formed.
/// In a cluster a failed process has to end: that is how the others learn of it.
pub fn execute(
    cluster: &Cluster,
    job: Job,
    entries: Option<Entries>,
    on_event: impl Fn(Event) + Send + Sync + 'static,
) -> Result<(), PortError> {
    let failure = Failure::default();
    let leader = Arc::new(Mutex::new(entries));
    let on_event = Arc::new(on_event);
    let (fail, first) = (failure.clone(), cluster.process == 0);
    let clustered = cluster.hosts.len() > 1;
    let guards = timely::execute(cluster.config(), move |worker| {
        let entries = match first && worker.index() == 0 {
            true => leader.lock().unwrap_or_else(|p| p.into_inner()).take(),
            false => None,
        };
        let on_event = on_event.clone();
        let run = Run { job: &job, failure: fail.clone() };
        if let Err(error) = run.worker(worker, entries, Rc::new(move |e| on_event(e))) {
            fail.set(error);
        }
        if fail.is_set() {
            if clustered {
                std::thread::sleep(LAST_WORDS);
            }
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
        }
    });
    let invalid = |m: String| PortError::new(PortErrorKind::Invalid, m);
    let guards = guards.map_err(|e| invalid(format!("workers cannot start: {e}")))?;
    if clustered && let Some(error) = failed(&guards, &failure) {
        // Joining would wait until the other processes close their ends, and they wait for us.
        std::mem::forget(guards);
        return Err(error);
    }
    let panicked = guards.join().into_iter().find_map(Result::err);
    match (failure.take(), panicked) {
        (Some(error), _) => Err(error),
        (None, Some(panic)) => Err(invalid(format!("a worker panicked: {panic}"))),
        (None, None) => Ok(()),
    }
}

/// Wait for all workers of this process, or for the first failure of one.
fn failed<T: Send + 'static>(guards: &WorkerGuards<T>, failure: &Failure) -> Option<PortError> {
    while !failure.is_set() && guards.guards().iter().any(|g| !g.is_finished()) {
        std::thread::sleep(PARK);
    }
    failure.take()
}

struct Run<'a> {
    job: &'a Job,
    failure: Failure,
}

impl Run<'_> {
    fn worker(
        &self,
        worker: &mut Worker,
        entries: Option<Entries>,
        on_event: Rc<dyn Fn(Event)>,
    ) -> Result<(), PortError> {
        let id = WorkerId { index: worker.index(), peers: worker.peers() };
        // Arrangements settle their chunks without being told by whom.
        arrangement::spill::install(Some(Box::new(self.job.budget.clone())));
        let context = Context {
            reader: self.job.reader.clone(),
            failure: self.failure.clone(),
            worker: id,
            budget: self.job.budget.clone(),
        };
        let committed = Rc::new(Cell::new(None));
        let ends = Ends {
            sink: self.job.sink.as_ref(),
            epoch: self.job.epoch,
            committed: committed.clone(),
            on_event,
        };
        let fingerprint = self.job.plan.fingerprint();
        let mut input = worker.dataflow::<Time, _, _>(|scope| {
            let (input, stream) = scope.new_input::<Vec<(u64, Entry)>>();
            let entries = checked(stream.broadcast(), fingerprint, self.failure.clone());
            render(scope, &self.job.plan, entries, &ends, &context).map(|()| input)
        })?;
        if let Some(entries) = entries {
            let _ = entries.worker.set(std::thread::current());
            let mut last = None;
            let mut open = true;
            while !self.failure.is_set() && (open || committed.get() < last) {
                match entries.entries.try_recv() {
                    Ok(entry) => {
                        last = Some(entry.time);
                        let next = entry.time + 1;
                        input.advance_to(entry.time);
                        input.send((fingerprint, entry));
                        input.advance_to(next);
                        worker.step();
                    }
                    Err(TryRecvError::Disconnected) => {
                        open = false;
                        worker.step_or_park(Some(PARK));
                    }
                    Err(TryRecvError::Empty) => {
                        worker.step_or_park(Some(PARK));
                    }
                }
            }
        }
        input.close();
        while !self.failure.is_set() && worker.has_dataflows() {
            worker.step_or_park(Some(PARK));
        }
        Ok(())
    }
}

/// Entries from a leader that runs the same plan as this worker; anything else stops the run.
fn checked<'s>(
    entries: Stream<'s, Time, Vec<(u64, Entry)>>,
    fingerprint: u64,
    failure: Failure,
) -> Stream<'s, Time, Vec<Entry>> {
    type Plain = CapacityContainerBuilder<Vec<Entry>>;
    entries.unary::<Plain, _, _, _>(Pipeline, "Same plan", move |_, _| {
        move |input, output| {
            input.for_each(|capability, entries| {
                if entries.iter().any(|(theirs, _)| *theirs != fingerprint) {
                    let message = "this process lowered another plan than its leader: \
                                   run the same version and the same SQL everywhere";
                    failure.set(PortError::new(PortErrorKind::Invalid, message));
                }
                output.session(&capability).give_iterator(entries.drain(..).map(|(_, e)| e));
            });
        }
    })
}
