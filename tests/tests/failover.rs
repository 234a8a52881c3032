//! Leaders die: real processes on a real PostgreSQL, under one-second schedules.
//!
//! What was due comes from the wall clock, and what ran comes from files that the handlers wrote; the store under test
//! is asked for neither.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold_common::store::SharedStore;
use leasehold_tests::fleet::{Process, leasehold_ok, metric};
use leasehold_tests::{server, stores, wait};
use rustix::process::Signal;

const TENANTS: [&str; 2] = ["acme", "globex"];

/// Longer than any hiccup of a busy machine, so that "late because of a fail-over" can be told from "late because the
/// machine was busy": a fail-over takes at least this long.
const TTL: Duration = Duration::from_secs(4);

/// How long a leader waits between planning and commit, so that stopping it at any moment is likely to stop it there.
const PAUSE: &str = "350ms";

const CONFIG: &str = r#"
version: 1
tenants:
  - {id: acme}
  - {id: globex}
jobs:
  - name: tick
    cron: "* * * * * *"
    command: {argv: ["./witness.sh"]}
    retry: {attempts: 1}
  - name: beat
    every: 1s
    command: {argv: ["./witness.sh"]}
    retry: {attempts: 1}
"#;

/// One line when it starts and one when it ends; a line this short is appended in one piece.
const WITNESS: &str = r#"#!/bin/sh
f="witness.$LEASEHOLD_TENANT.$LEASEHOLD_JOB"
echo "start $LEASEHOLD_SCHEDULED_FOR $(date +%s%N) $LEASEHOLD_CORRELATION_ID $LEASEHOLD_ATTEMPT" >>"$f"
echo "end $LEASEHOLD_SCHEDULED_FOR $(date +%s%N) $LEASEHOLD_CORRELATION_ID $LEASEHOLD_ATTEMPT" >>"$f"
"#;

struct Fleet {
    folder: tempfile::TempDir,
    url: String,
    store: SharedStore,
    schedulers: Vec<Process>,
    executors: Vec<Process>,
    started: usize,
}

impl Fleet {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = stores::postgres_database(server::postgres()).await;
        std::fs::write(folder.path().join("leasehold.yaml"), CONFIG).unwrap();
        write_script(&folder.path().join("witness.sh"), WITNESS);
        let _ = leasehold_ok(folder.path(), &["migrate", "--store", &url]);
        let _ = leasehold_ok(folder.path(), &["apply", "leasehold.yaml", "--store", &url]);
        let store = leasehold_store::open(&url, &leasehold_store::Options::default()).await.unwrap();
        let mut fleet = Self { folder, url, store, schedulers: Vec::new(), executors: Vec::new(), started: 0 };
        for _ in 0..3 {
            fleet.add_scheduler();
        }
        for n in 0..2 {
            fleet.executors.push(Process::start(
                &format!("executor{n}"),
                fleet.folder.path(),
                "leasehold-executor",
                &["--store", &fleet.url, "--allow-commands", "--slots", "8", "--ops-listen", "127.0.0.1:0"],
                &[],
            ));
        }
        fleet
    }

    fn add_scheduler(&mut self) {
        let arguments = [
            "--store",
            &self.url,
            "--lease-ttl",
            "4s",
            "--lease-renew",
            "1s",
            "--lease-retry",
            "300ms",
            "--look-ahead",
            "9s",
            "--ops-listen",
            "127.0.0.1:0",
        ];
        let name = format!("scheduler{}", self.started);
        self.started += 1;
        let pause = [("LEASEHOLD_TEST_PAUSE_BEFORE_DISPATCH", PAUSE)];
        self.schedulers.push(Process::start(&name, self.folder.path(), "leasehold-scheduler", &arguments, &pause));
    }

    /// The scheduler that leads now, by its place in the list, and its term.
    async fn leader(&self) -> Result<(usize, i64), String> {
        let status = self.store.status().await.map_err(|error| error.to_string())?;
        let leader = status.leader.filter(|leader| leader.expires_in_ms > 0).ok_or("nobody leads")?;
        let place = self.schedulers.iter().position(|scheduler| scheduler.pid() == leader.pid);
        Ok((place.ok_or(format!("{} is not ours", leader.pid))?, leader.term))
    }

    /// Waits until the leader has fanned out what look-ahead promises: that is what a fail-over lives on. A leader
    /// that dies before its first dispatch has nothing to leave behind.
    async fn wait_for_look_ahead(&self) {
        let tick = "tick".parse().unwrap();
        wait::until("the look-ahead is full", || async {
            let jobs = self.store.jobs(None, Some(&tick), 10).await.map_err(|error| error.to_string())?;
            let nearest = jobs.iter().filter_map(|job| job.next_due).min().ok_or("no job")?;
            let ahead = nearest.duration_since(Timestamp::now());
            if ahead > jiff::SignedDuration::from_secs(8) { Ok(()) } else { Err(format!("only {ahead}")) }
        })
        .await;
    }

    async fn wait_for_leader(&self, after_term: i64) -> (usize, i64) {
        wait::until("a new leader", || async {
            match self.leader().await {
                Ok((place, term)) if term > after_term => Ok((place, term)),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }
}

fn write_script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a handler saw of one run.
#[derive(Debug)]
struct Witnessed {
    scheduled_for: Timestamp,
    started: i128,
    ended: i128,
}

fn read_witness(folder: &Path, tenant: &str, job: &str) -> Vec<Witnessed> {
    let text = std::fs::read_to_string(folder.join(format!("witness.{tenant}.{job}"))).unwrap();
    let mut runs: BTreeMap<String, Witnessed> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, scheduled_for, nanos, id, attempt] = words[..] else { panic!("torn line {line:?}") };
        assert_eq!(attempt, "1", "{line}");
        let nanos: i128 = nanos.parse().unwrap();
        if what == "start" {
            let run = Witnessed { scheduled_for: scheduled_for.parse().unwrap(), started: nanos, ended: 0 };
            assert!(runs.insert(id.to_owned(), run).is_none(), "{id} ran twice");
        } else {
            runs.get_mut(id).expect("an end follows a start").ended = nanos;
        }
    }
    let mut runs: Vec<Witnessed> = runs.into_values().collect();
    runs.sort_by_key(|run| run.started);
    runs
}

fn assert_no_overlap(runs: &[Witnessed], job: &str) {
    for pair in runs.windows(2) {
        assert!(pair[0].ended > 0 && pair[0].ended <= pair[1].started, "{job} overlaps: {pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_are_killed_and_stopped_and_every_due_time_fires_once() {
    let mut fleet = Fleet::start().await;
    let (_, mut term) = fleet.wait_for_leader(0).await;
    let folder = fleet.folder.path().to_owned();
    wait::until("the first runs", || async {
        let seen = TENANTS.iter().all(|tenant| folder.join(format!("witness.{tenant}.tick")).exists());
        if seen { Ok(()) } else { Err("no witness yet") }
    })
    .await;
    let first_due = Timestamp::now().as_second() + 2;

    let mut refused = 0.0;
    let deadline = Instant::now() + Duration::from_secs(240);
    let (mut kills, mut stops) = (0_u64, 0_u64);
    while kills < 4 || stops < 4 || refused < 1.0 {
        assert!(Instant::now() < deadline, "no stale-term write was attempted in {stops} stops");
        fleet.wait_for_look_ahead().await;
        // The look-ahead is full just after a dispatch: without this, every round would hit the same moment.
        tokio::time::sleep(Duration::from_millis(170 * (kills + stops) % 1200)).await;
        let (place, current) = fleet.leader().await.expect("somebody leads between rounds");
        assert!(current >= term);
        if kills <= stops {
            fleet.schedulers.remove(place).kill();
            term = fleet.wait_for_leader(current).await.1;
            fleet.add_scheduler();
            kills += 1;
        } else {
            let address = fleet.schedulers[place].ops().await;
            fleet.schedulers[place].signal(Signal::STOP);
            term = fleet.wait_for_leader(current).await.1;
            fleet.schedulers[place].signal(Signal::CONT);
            stops += 1;
            refused += stale_writes(&address).await;
        }
    }
    let last_due = Timestamp::now().as_second() - 1;
    wait::until("the last due time has run", || async {
        let last = read_witness(&folder, TENANTS[0], "tick").last().map_or(0, |run| run.scheduled_for.as_second());
        if last > last_due { Ok(()) } else { Err(last) }
    })
    .await;

    for scheduler in fleet.schedulers.drain(..) {
        assert!(scheduler.terminate().await.success());
    }
    for executor in fleet.executors.drain(..) {
        assert!(executor.terminate().await.success());
    }
    for tenant in TENANTS {
        let ticks = read_witness(&folder, tenant, "tick");
        let fired: BTreeSet<i64> = ticks.iter().map(|run| run.scheduled_for.as_second()).collect();
        assert_eq!(fired.len(), ticks.len(), "{tenant}: a due time fired twice");
        let missing: Vec<i64> = (first_due..=last_due).filter(|due| !fired.contains(due)).collect();
        assert!(missing.is_empty(), "{tenant}: {} due times are missing: {missing:?}", missing.len());
        assert_no_overlap(&ticks, "tick");
        assert_no_overlap(&read_witness(&folder, tenant, "beat"), "beat");
        for run in ticks.iter().filter(|run| run.scheduled_for.as_second() >= first_due) {
            let late = run.started - run.scheduled_for.as_nanosecond();
            let limit = i128::try_from(TTL.as_nanos()).unwrap() / 2;
            assert!(late < limit, "{tenant}: {} fired {} ms late", run.scheduled_for, late / 1_000_000);
        }
    }
    let status = fleet.store.status().await.unwrap();
    assert_eq!((status.queue.running, status.catalog.stalled_interval_jobs), (0, 0), "{status:?}");
    assert_eq!(status.leader, None, "the last leader resigned");
}

/// How many writes the scheduler at `address` had refused, once it knows that it is deposed.
async fn stale_writes(address: &str) -> f64 {
    wait::until("the stopped leader has stepped down", || async {
        let leads = metric(address, "leasehold_leader").await;
        if leads == 0.0 { Ok(()) } else { Err(leads) }
    })
    .await;
    metric(address, "leasehold_stale_term_total").await
}
