//! Ways to do the same job, which take turns.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::median;

/// Whether `--quick` was said: small sizes, few rounds, below 20 seconds.
pub fn quick() -> bool {
    std::env::args().any(|a| a == "--quick")
}

/// `full`, or `small` if `--quick` was said.
pub fn sized<T>(full: T, small: T) -> T {
    if quick() { small } else { full }
}

/// One way: its name, and what does the job once in a round.
pub type Way<'a> = (String, Box<dyn FnMut(u64) -> Duration + 'a>);

/// Let `ways` do `job` in turns, and print the median of each as a ratio to the first, which is the
/// baseline. Whoever comes first in a round pays for waking up: the first changes with the round.
///
/// # Panics
/// Without ways or rounds.
pub fn take_turns(job: &str, rounds: u64, mut ways: Vec<Way<'_>>) -> Vec<Duration> {
    let mut took = vec![vec![]; ways.len()];
    for round in 0..rounds {
        for turn in 0..ways.len() {
            let at = (turn + round as usize) % ways.len();
            took[at].push(ways[at].1(round));
        }
    }
    let spread = |durations: &[Duration]| {
        let (least, most) = (durations.iter().min(), durations.iter().max());
        let ms = |d: Option<&Duration>| d.map_or(0.0, |d| d.as_secs_f64() * 1e3);
        (ms(least), ms(most))
    };
    println!("\n{job}, median of {rounds} rounds in turns");
    println!("{:>44} {:>10} {:>7} {:>21}", "", "ms", "ratio", "least and most ms");
    let medians: Vec<Duration> = took.iter().map(|t| median(t.clone())).collect();
    for (at, (name, _)) in ways.iter().enumerate() {
        let (ms, base) = (medians[at].as_secs_f64(), medians[0].as_secs_f64());
        let (least, most) = spread(&took[at]);
        let ratio = ms / base;
        println!("{name:>44} {:>10.2} {ratio:>7.3} {least:>10.2} {most:>10.2}", ms * 1e3);
    }
    medians
}

/// How long `work` takes, and what it gives.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let done = work();
    (began.elapsed(), done)
}

/// A thread that does one thing at a time and sleeps between: what it leaves for later is not done
/// while somebody else is measured.
pub struct Seat<Asked> {
    ask: Option<Sender<Asked>>,
    answers: Receiver<Duration>,
    thread: Option<JoinHandle<()>>,
}

impl<Asked: Send + 'static> Seat<Asked> {
    /// `work` answers each request with what it took.
    pub fn new(
        work: impl FnOnce(Receiver<Asked>, Sender<Duration>) + Send + 'static,
    ) -> Seat<Asked> {
        let (ask, asked) = channel();
        let (answer, answers) = channel();
        let thread = std::thread::spawn(move || work(asked, answer));
        Seat { ask: Some(ask), answers, thread: Some(thread) }
    }

    /// What doing it took.
    ///
    /// # Panics
    /// If the thread ended.
    pub fn ask(&self, what: Asked) -> Duration {
        let ask = self.ask.as_ref().expect("it is open");
        assert!(ask.send(what).is_ok(), "the thread runs");
        self.answers.recv().expect("the thread runs")
    }
}

impl<Asked> Drop for Seat<Asked> {
    fn drop(&mut self) {
        drop(self.ask.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
