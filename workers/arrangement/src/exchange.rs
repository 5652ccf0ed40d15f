//! Which worker a row goes to.

use arrow::array::ArrayRef;
use schemas::Time;
use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{DistributorPact, ParallelizationContract};
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::progress::Stamp;

use crate::hash::hash_rows;
use crate::updates::Updates;

/// Rows for a worker are held back until there are so many, or until their time is over.
const MESSAGE_ROWS: usize = 1 << 13;

/// Rows that agree on the columns `keys` meet on one worker; without keys, all do.
///
/// The high bits of the hash decide, so a worker owns a contiguous range of the order of chunks.
pub fn exchange(keys: Vec<usize>) -> impl ParallelizationContract<Time, Updates> + use<> {
    route(move |updates, peers| {
        let columns: Vec<ArrayRef> = keys.iter().map(|k| updates.columns[*k].clone()).collect();
        let hashes = hash_rows(&columns, updates.len());
        let range = |h: u64| ((u128::from(h) * peers as u128) >> 64) as usize;
        hashes.into_iter().map(range).collect()
    })
}

/// `f` says for each row a number; rows of equal number (modulo the number of workers) meet.
pub fn exchange_by<F>(mut f: F) -> impl ParallelizationContract<Time, Updates> + use<F>
where
    F: FnMut(&Updates) -> Vec<u64> + 'static,
{
    route(move |updates, peers| {
        f(updates).into_iter().map(|n| (n % peers as u64) as usize).collect()
    })
}

/// All rows meet on worker 0.
pub fn gather() -> impl ParallelizationContract<Time, Updates> + use<> {
    route(|updates, _| vec![0; updates.len()])
}

/// `workers` says for each row its worker, among so many.
fn route<F>(workers: F) -> DistributorPact<impl FnOnce(usize) -> Router<F> + use<F>>
where
    F: FnMut(&Updates, usize) -> Vec<usize> + 'static,
{
    DistributorPact(move |peers| Router {
        workers,
        held: (0..peers).map(|_| Held::default()).collect(),
    })
}

/// Rows on their way to one worker.
#[derive(Default)]
struct Held {
    parts: Vec<Updates>,
    rows: usize,
}

impl Held {
    fn send<T: Clone, P: Push<Message<T, Updates>>>(&mut self, stamp: &Stamp<T>, pusher: &mut P) {
        if self.rows > 0 {
            let mut all = Updates::concat(&self.parts);
            self.parts.clear();
            self.rows = 0;
            Message::push_at(&mut all, stamp.clone(), pusher);
        }
    }
}

/// Splits containers by worker, and joins small pieces: each message pays for a schema.
struct Router<F> {
    workers: F,
    held: Vec<Held>,
}

impl<F: FnMut(&Updates, usize) -> Vec<usize>> Distributor<Updates> for Router<F> {
    fn partition<T: Clone, P: Push<Message<T, Updates>>>(
        &mut self,
        container: &mut Updates,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let updates = std::mem::take(container);
        let mut rows = vec![Vec::new(); pushers.len()];
        for (row, worker) in (self.workers)(&updates, pushers.len()).into_iter().enumerate() {
            rows[worker].push(row as u32);
        }
        for ((rows, held), pusher) in rows.into_iter().zip(&mut self.held).zip(pushers) {
            if rows.is_empty() {
                continue;
            }
            held.rows += rows.len();
            held.parts.push(match rows.len() == updates.len() {
                true => updates.clone(),
                false => updates.take(rows),
            });
            if held.rows >= MESSAGE_ROWS {
                held.send(stamp, pusher);
            }
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Updates>>>(
        &mut self,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        for (held, pusher) in self.held.iter_mut().zip(pushers) {
            held.send(stamp, pusher);
        }
    }
}
