//! Clock, randomness, signals, logging: what libraries are handed.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use lake::Identity;
use lake::sink::Outside;
use tokio::runtime::Runtime;

/// Microseconds since 1970 UTC.
pub fn clock_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A text that was never drawn before.
pub fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Clock and nonces for the sink.
pub fn outside() -> Outside {
    Outside { nonce: Arc::new(nonce), clock_us: Arc::new(clock_us) }
}

/// This process.
pub fn identity() -> Identity {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_string();
    let host = if host.is_empty() { "localhost".to_string() } else { host };
    Identity { host, pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_string() }
}

/// A runtime for the stores' requests.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no runtime for requests")
}

/// A flag that Ctrl-C and SIGTERM set; the second one ends the process at once.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("stopping once what is read is committed; again to stop at once");
    })
    .context("signals cannot be handled")?;
    Ok(flag)
}

/// Messages of libraries on standard error.
pub fn logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("TIDEWATCH_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// This process ends for a reason of its own, which it is about to say.
static OWN_REASON: AtomicBool = AtomicBool::new(false);

/// From now on the end of others is no reason to end: it follows from ours.
pub fn end_for_own_reason() {
    OWN_REASON.store(true, Ordering::SeqCst);
}

/// End this process because others of its cluster ended. Whoever read what it says may be gone too:
/// printing must not fail.
pub fn end_with_the_others(why: &str) -> ! {
    while OWN_REASON.load(Ordering::SeqCst) {
        std::thread::park();
    }
    let said =
        format!("error: {why}; this one ends too. Nothing is lost: start the cluster again\n");
    let _ = std::io::stderr().write_all(said.as_bytes());
    std::process::exit(75)
}

/// A panic in a worker ends the process: half a cluster computes nothing. What other processes
/// see then is a closed socket.
pub fn panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // A damaged file's decoder: it is caught, and the file is a fault.
        if lake::source::decoding() {
            return;
        }
        let text = info.to_string();
        let thread = std::thread::current().name().unwrap_or_default().to_string();
        let cut_off = ["timely communication error", "socket closed", "recv"];
        if thread.contains("timely:") && cut_off.iter().any(|c| text.contains(c))
            || text.contains("MergeQueue poisoned")
        {
            end_with_the_others("another process of the cluster ended");
        }
        report(info);
        if thread.contains("timely") {
            std::process::exit(70);
        }
    }));
}
