//! Several processes: who they are, starting them on this machine, and the leader's briefing.
//!
//! Process 0 leads. Before the workers connect, it briefs every other process over the address
//! that process will compute on: the SQL text, the incarnation and the start time. A follower
//! lowers the SQL itself; workers compare fingerprints before they compute.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use engine::execute::Cluster;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::outside;
use crate::settings::Views;

/// How long processes wait for each other at the start.
const MEET_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at the followers.
const LOOK: Duration = Duration::from_millis(100);
/// How long a leader may take to say itself what ended a follower, before that is said for it.
const GRACE: Duration = Duration::from_secs(2);

/// The cluster that `--process` and `--hosts` describe.
pub fn from_hosts(path: &Path, process: usize, threads: usize, plaintext: bool) -> Result<Cluster> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("hosts file '{}' cannot be read", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let hosts: Vec<String> = lines.map(str::to_string).collect();
    ensure!(
        process < hosts.len(),
        "process {process} is not in hosts file '{}', which names processes 0 to {}",
        path.display(),
        hosts.len().saturating_sub(1)
    );
    for host in &hosts {
        let addresses = host
            .to_socket_addrs()
            .with_context(|| format!("'{host}' in '{}' is no host:port", path.display()))?;
        let local = addresses.into_iter().all(|a| is_loopback(a.ip()));
        ensure!(
            local || plaintext,
            "'{host}' is beyond this machine, and processes talk in plain text: \
             use a private network and say --plaintext"
        );
    }
    Ok(Cluster { threads, process, hosts })
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// Child processes 1..n of this one; they end with it.
pub struct Followers {
    children: Arc<Mutex<Vec<Child>>>,
    /// The other ends of their standard inputs. The system closes them when this process ends,
    /// also when it is killed: see [`end_with_leader`].
    held: Vec<ChildStdin>,
}

/// End this process when the leader that started it ends, however it ended: it holds the other end
/// of our standard input. A follower that waits to be briefed has no other way to know.
pub fn end_with_leader() {
    std::thread::spawn(|| {
        // Nobody writes: it returns at the end.
        let _ = std::io::stdin().read(&mut [0]);
        outside::end_with_the_others("the leader of the cluster ended");
    });
}

impl Followers {
    /// Start `processes − 1` followers of this program on free loopback ports.
    /// They read the settings of `config`, as this process does.
    pub fn start(
        processes: usize,
        threads: usize,
        hosts_file: &Path,
        config: Option<&Path>,
    ) -> Result<(Cluster, Self)> {
        let listeners: Vec<TcpListener> =
            (0..processes).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let address = |l: &TcpListener| l.local_addr().map(|a| a.to_string());
        let hosts: Vec<String> = listeners.iter().map(address).collect::<Result<_, _>>()?;
        drop(listeners);
        std::fs::write(hosts_file, hosts.join("\n") + "\n")?;
        let program = std::env::current_exe().context("this program cannot be found again")?;
        let mut followers = Followers { children: Arc::default(), held: vec![] };
        for process in 1..processes {
            let mut command = Command::new(&program);
            command.arg("follow").arg("--hosts").arg(hosts_file);
            command.args(["--process", &process.to_string(), "--workers", &threads.to_string()]);
            if let Some(config) = config {
                command.arg("--config").arg(config);
            }
            let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
            let mut child = child.with_context(|| format!("process {process} cannot start"))?;
            followers.held.extend(child.stdin.take());
            followers.children().push(child);
        }
        followers.watch();
        Ok((Cluster { threads, process: 0, hosts }, followers))
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// End this process if one of them fails. Workers see it by themselves, but only once they
    /// are connected: before, they would wait for it for ever.
    fn watch(&self) {
        let watched = Arc::downgrade(&self.children);
        std::thread::spawn(move || {
            while let Some(children) = watched.upgrade() {
                let mut children = children.lock().unwrap_or_else(PoisonError::into_inner);
                let failed = |c: &mut Child| matches!(c.try_wait(), Ok(Some(s)) if !s.success());
                let ended = children.iter_mut().any(failed);
                drop(children);
                if ended {
                    std::thread::sleep(GRACE);
                    outside::end_with_the_others("another process of the cluster ended");
                }
                std::thread::sleep(LOOK);
            }
        });
    }

    /// Wait for all of them, as after a clean end.
    pub fn wait(self) -> Result<()> {
        for (i, child) in self.children().iter_mut().enumerate() {
            let status = child.wait()?;
            ensure!(status.success(), "process {} ended with {status}", i + 1);
        }
        Ok(())
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        for child in self.children().iter_mut() {
            if matches!(child.try_wait(), Ok(None)) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// Tell every other process what `briefing` says.
pub fn brief<B: Serialize>(cluster: &Cluster, briefing: &B) -> Result<()> {
    let line = serde_json::to_string(briefing)? + "\n";
    for (process, host) in cluster.hosts.iter().enumerate().skip(1) {
        let deadline = Instant::now() + MEET_TIMEOUT;
        let mut stream = loop {
            match TcpStream::connect(host) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20))
                }
                Err(e) => bail!("process {process} at {host} does not answer: {e}"),
            }
        };
        stream.set_read_timeout(Some(MEET_TIMEOUT))?;
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        ensure!(answer.trim() == "ready", "process {process} at {host} is not ready: {answer}");
    }
    Ok(())
}

/// Wait to be told. The address is free again afterwards, for the workers.
pub fn briefed<B: DeserializeOwned>(cluster: &Cluster) -> Result<B> {
    let host = &cluster.hosts[cluster.process];
    let listener = TcpListener::bind(host)
        .with_context(|| format!("process {} cannot listen on {host}", cluster.process))?;
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(MEET_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let briefing = serde_json::from_str(&line).context("the leader's briefing makes no sense")?;
    stream.write_all(b"ready\n")?;
    Ok(briefing)
}

/// What the leader tells its followers.
#[derive(Clone, Serialize, Deserialize)]
pub struct Briefing {
    /// The lake, as given on the leader's command line.
    pub lake: String,
    /// All statements, in order: (origin, text).
    pub statements: Vec<(String, String)>,
    /// The incarnation's epoch.
    pub epoch: u64,
    /// The first time to commit.
    pub start: u64,
    /// Per view: the time of its `CREATE`.
    pub created: Vec<(String, u64)>,
    /// How views are written: rows of one bucket have to meet, whichever process made them.
    pub views: Views,
}
