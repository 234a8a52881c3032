//! Limits hold while executors die: real executors, killed with SIGKILL again and again, and a witness that the handlers
//! call. How many run at once is what the witness sees, not what the store says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use leasehold_common::run::Outcome;
use leasehold_common::store::{RunFilter, SharedStore};
use leasehold_tests::fleet::{Process, leasehold_ok};
use leasehold_tests::{server, stores, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// At once: of a tenant, of a job of one tenant, and of a job over all tenants.
const TENANT: u32 = 4;
const OWN: u32 = 3;
const TOTAL: u32 = 6;
/// Starts of the rated job in any two seconds.
const RATE: usize = 10;
const RATE_TIME: Duration = Duration::from_secs(2);
/// Runs of each job of each tenant.
const RUNS: u64 = 60;
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// How long a call takes. Far less than the claim of a killed executor lasts, so that its calls are over when its runs
/// begin anew.
const CALL: Duration = Duration::from_millis(120);

/// Counts the calls that are under way.
#[derive(Default)]
struct Witness {
    /// By path, `/TENANT/JOB`: how many now, and when each began.
    now: BTreeMap<String, u32>,
    starts: BTreeMap<String, Vec<Instant>>,
    /// The most at once that were seen of a tenant, of a job of a tenant, and of a job.
    most: BTreeMap<String, u32>,
}

impl Witness {
    fn begin(&mut self, path: &str) {
        *self.now.entry(path.to_owned()).or_default() += 1;
        self.starts.entry(path.to_owned()).or_default().push(Instant::now());
        let (tenant, job) = path.trim_start_matches('/').split_once('/').unwrap();
        let sum = |fits: &dyn Fn(&str) -> bool| self.now.iter().filter(|(path, _)| fits(path)).map(|(_, n)| n).sum();
        let seen: [(String, u32); 3] = [
            (format!("tenant {tenant}"), sum(&|path| path.starts_with(&format!("/{tenant}/")))),
            (format!("job {tenant}/{job}"), self.now[path]),
            (format!("total {job}"), sum(&|path| path.ends_with(&format!("/{job}")))),
        ];
        for (what, count) in seen {
            let most = self.most.entry(what).or_default();
            *most = (*most).max(count);
        }
    }

    fn end(&mut self, path: &str) {
        *self.now.get_mut(path).unwrap() -= 1;
    }

    fn most(&self, kind: &str) -> u32 {
        self.most.iter().filter(|(what, _)| what.starts_with(kind)).map(|(_, most)| *most).max().unwrap_or(0)
    }
}

/// Answers every call after [`CALL`]; a caller that died ends its call at once.
async fn serve(witness: Arc<Mutex<Witness>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(call(stream, Arc::clone(&witness)));
        }
    });
    port
}

async fn call(mut stream: TcpStream, witness: Arc<Mutex<Witness>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    witness.lock().unwrap().begin(&path);
    tokio::time::sleep(CALL).await;
    witness.lock().unwrap().end(&path);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    stream.write_all(answer.as_bytes()).await.ok();
}

fn config(port: u16) -> String {
    let tenants: String =
        TENANTS.iter().map(|tenant| format!("  - {{id: {tenant}, concurrency: {TENANT}}}\n")).collect();
    let job = |name: &str, limits: &str| {
        format!(
            "  - name: {name}\n    at: \"2099-01-01T00:00\"\n    timezone: UTC\n    overlap: allow\n    retry: {{attempts: 100, \
             backoff: {{initial: 100ms, max: 100ms}}}}\n    timeout: 20s\n    http: {{url: \
             \"http://127.0.0.1:{port}/{{{{ tenant.id }}}}/{{{{ job.name }}}}\"}}\n{limits}"
        )
    };
    format!(
        "version: 1\ntenants:\n{tenants}jobs:\n{}{}{}",
        job("shared", &format!("    total: {{concurrency: {TOTAL}}}\n")),
        job("own", &format!("    concurrency: {OWN}\n")),
        job("rated", &format!("    total: {{rate: {RATE}/{}s}}\n", RATE_TIME.as_secs())),
    )
}

async fn queue(store: &SharedStore) -> u64 {
    let mut queued = 0;
    for job in store.snapshot().await.unwrap().jobs {
        let runs = if job.name.as_str() == "rated" { RUNS / 4 } else { RUNS };
        let due: Vec<Timestamp> =
            (1..=runs).map(|n| Timestamp::now() - SignedDuration::from_secs(n.try_into().unwrap())).collect();
        assert_eq!(store.backfill(job.key, &due, Duration::ZERO).await.unwrap(), Some(runs));
        queued += runs;
    }
    queued
}

async fn ended(store: &SharedStore) -> u64 {
    let filter = RunFilter { outcomes: vec![Outcome::Succeeded], ..RunFilter::default() };
    store.reports(0, &filter, 10_000).await.unwrap().0.len() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_while_executors_are_killed() {
    let witness = Arc::new(Mutex::new(Witness::default()));
    let folder = tempfile::tempdir().unwrap();
    let url = stores::postgres_database(server::postgres()).await;
    std::fs::write(folder.path().join("leasehold.yaml"), config(serve(Arc::clone(&witness)).await)).unwrap();
    let _ = leasehold_ok(folder.path(), &["migrate", "--store", &url]);
    let _ = leasehold_ok(folder.path(), &["apply", "leasehold.yaml", "--store", &url]);
    let store = leasehold_store::open(&url, &leasehold_store::Options::default()).await.unwrap();
    let queued = queue(&store).await;
    let lease = ["--lease-ttl", "2s", "--lease-renew", "500ms", "--lease-retry", "200ms", "--look-ahead", "5s"];
    let arguments = [&["--store", &url, "--ops-listen", "127.0.0.1:0"][..], &lease].concat();
    let _scheduler = Process::start("scheduler", folder.path(), "leasehold-scheduler", &arguments, &[]);
    let start = |number: u32| {
        let arguments = [
            "--store",
            &url,
            "--slots",
            "32",
            "--claim-ttl",
            "1500ms",
            "--allow-net",
            "127.0.0.0/8",
            "--ops-listen",
            "127.0.0.1:0",
        ];
        Process::start(&format!("executor{number}"), folder.path(), "leasehold-executor", &arguments, &[])
    };
    let mut executors = vec![start(0), start(1)];
    for number in 2..8 {
        // Each has run something before another one dies in the middle of it.
        let before = ended(&store).await;
        wait::until("runs end", || async {
            let now = ended(&store).await;
            if now > before + 5 || now >= queued { Ok(()) } else { Err(now) }
        })
        .await;
        executors.remove(0).kill();
        executors.push(start(number));
    }
    wait::until("all runs have ended", || async {
        let now = ended(&store).await;
        if now >= queued { Ok(()) } else { Err(format!("{now} of {queued}")) }
    })
    .await;

    let witness = witness.lock().unwrap();
    assert!(witness.most("tenant") <= TENANT, "{:?}", witness.most);
    assert!(witness.most("total shared") <= TOTAL, "{:?}", witness.most);
    for tenant in TENANTS {
        assert!(witness.most(&format!("job {tenant}/own")) <= OWN, "{:?}", witness.most);
    }
    // The limits were reached: something else would not have been a test of them.
    assert_eq!((witness.most("tenant"), witness.most("total shared")), (TENANT, TOTAL), "{:?}", witness.most);
    let mut starts: Vec<Instant> =
        witness.starts.iter().filter(|(path, _)| path.ends_with("/rated")).flat_map(|(_, at)| at).copied().collect();
    starts.sort_unstable();
    // The store counts claims; a call is seen up to a moment after its claim.
    let slack = Duration::from_millis(500);
    for window in starts.windows(RATE + 1) {
        assert!(window[RATE] - window[0] + slack >= RATE_TIME, "{RATE} and one more in {:?}", window[RATE] - window[0]);
    }
}
