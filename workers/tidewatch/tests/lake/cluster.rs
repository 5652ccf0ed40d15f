//! Threads and processes: the same result, bit for bit; one that dies ends all.

use std::time::{Duration, Instant};

use crate::{Bench, text};

fn lake() -> Bench {
    let bench = Bench::empty();
    let settings =
        world::Settings { seed: 9, campaigns: 6, days: 18, ..world::Settings::default() };
    let world = world::World::new(settings, false);
    for n in 0..world.deliveries() {
        world::write(&world.delivery(n).expect("encodes"), &bench.lake()).expect("written");
    }
    let mut sql: String = schemas::tables::TABLES.iter().map(|(_, ddl)| *ddl).collect();
    sql += include_str!("../../../../dataflows/campaign_features/campaign_features.sql");
    std::fs::write(bench.path("views.sql"), sql).expect("written");
    bench
}

#[test]
fn threads_and_processes_give_the_same_bits() {
    let result = |args: &[&str]| {
        let bench = lake();
        let sql = bench.path("views.sql").display().to_string();
        bench.ok(&[&["run", &sql, "--once"], args].concat());
        bench.verified();
        bench.rows("SELECT * FROM campaign_features")
    };
    let one = result(&["--workers", "1"]);
    assert!(one.len() > 1000);
    for args in [["--workers", "2"], ["--processes", "2"], ["--processes", "3"]] {
        assert!(result(&args) == one, "{args:?}");
    }
}

#[test]
fn a_process_that_dies_ends_the_cluster_and_a_restart_recovers() {
    let bench = lake();
    let sql = bench.path("views.sql").display().to_string();
    let mut leader = bench
        .command(&["run", &sql, "--processes", "2"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    bench.published(0);
    let children = std::process::Command::new("pgrep")
        .args(["-P", &leader.id().to_string()])
        .output()
        .expect("pgrep runs");
    let follower = text(&children.stdout).trim().to_string();
    assert!(!follower.is_empty(), "the leader has a follower");
    let killed = std::process::Command::new("kill").args(["-9", &follower]).status();
    assert!(killed.expect("kill runs").success());
    let deadline = Instant::now() + Duration::from_secs(20);
    while leader.try_wait().expect("waits").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = leader.try_wait().expect("waits");
    let _ = leader.kill();
    let said = text(&leader.wait_with_output().expect("ended").stderr);
    assert!(ended.is_some_and(|s| !s.success()), "{ended:?} {said}");
    assert!(said.contains("another process of the cluster ended"), "{said}");
    bench.ok(&["run", &sql, "--once"]);
    bench.verified();
}

#[test]
fn a_follower_has_the_settings_of_its_leader_and_ends_with_it_even_unbriefed() {
    let bench = lake();
    let settings = std::fs::read_to_string(bench.path("settings.toml")).expect("written before");
    let odd = settings + "[views]\nbucket_days = 1\nfile_rows_max = 500\n";
    std::fs::write(bench.path("settings.toml"), odd).expect("settings");
    let sql = bench.path("views.sql").display().to_string();
    let files = |args: &[&str]| {
        let _ = std::fs::remove_dir_all(bench.lake().join("views"));
        let _ = std::fs::remove_dir_all(bench.lake().join("_tidewatch"));
        bench.ok(&[&["run", &sql, "--once"], args].concat());
        bench.verified();
        crate::live_files(&bench.lake(), "campaign_features")
    };
    assert_eq!(files(&["--processes", "2"]), files(&["--workers", "2"]), "files of one layout");
    // A leader that is killed before it says a word.
    let hosts = bench.path("hosts");
    std::fs::write(&hosts, "127.0.0.1:1\n127.0.0.1:0\n").expect("written");
    let hosts = hosts.display().to_string();
    let mut command = bench.command(&["follow", "--hosts", &hosts, "--process", "1"]);
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut follower = command.spawn().expect("starts");
    // Nobody reads what it says, as when the leader's own parent is gone too.
    drop(follower.stderr.take());
    std::thread::sleep(Duration::from_millis(300));
    assert!(follower.try_wait().expect("waits").is_none(), "it waits to be briefed");
    drop(follower.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(20);
    while follower.try_wait().expect("waits").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = follower.try_wait().expect("waits");
    let _ = follower.kill();
    assert_eq!(ended.and_then(|s| s.code()), Some(75));
}

#[test]
fn a_leader_that_is_fenced_while_it_commits_ends_and_its_follower_with_it() {
    let bench = Bench::empty();
    bench.put("t/a.jsonl", "{\"k\": 1, \"v\": 5}\n");
    bench.once(
        "CREATE SOURCE t (k BIGINT, v BIGINT)
             WITH (location = 't/', format = 'json', mode = 'replace');
         CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;",
    );
    let mut leader = bench
        .command(&["run", "--processes", "2"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    bench.published(1);
    // Somebody else's version is where its next one belongs.
    let log = crate::table(&bench.lake(), "s").join("_delta_log");
    let versions = std::fs::read_dir(&log).expect("a log").flatten().map(|e| e.path());
    let versions = versions.filter(|p| p.extension().is_some_and(|e| e == "json")).count();
    let theirs = "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n";
    std::fs::write(log.join(format!("{versions:020}.json")), theirs).expect("written");
    bench.put("t/a.jsonl", "{\"k\": 1, \"v\": 6}\n");
    let deadline = Instant::now() + Duration::from_secs(30);
    while leader.try_wait().expect("waits").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = leader.try_wait().expect("waits");
    let _ = leader.kill();
    let said = text(&leader.wait_with_output().expect("ended").stderr);
    assert!(ended.is_some_and(|s| !s.success()), "{ended:?} {said}");
    assert!(said.contains("was changed by others"), "{said}");
}
