//! The quickstart as a user runs it: `leasehold dev` on a copy of its folder.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{DEADLINE, Running, leasehold, wait_for};

/// A copy of the quickstart, without what a run of it may have left there.
struct Quickstart {
    folder: tempfile::TempDir,
    port: u16,
}

impl Quickstart {
    fn copy() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
        for name in ["leasehold.yaml", "report.sh"] {
            std::fs::copy(source.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("orders")).unwrap();
        for file in files(&source.join("orders")) {
            std::fs::copy(&file, folder.path().join("orders").join(file.file_name().unwrap())).unwrap();
        }
        // Free now; that somebody takes it within the next moment is unlikely enough.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, port }
    }

    /// Started from elsewhere, as from a checkout's root, so that relative paths are told apart.
    fn dev(&self, more: &[&str]) -> Running {
        let config = self.folder.path().join("leasehold.yaml");
        let mut command = leasehold(Path::new("/"));
        command.arg("dev").arg(config).args(["--ops-listen", ":0"]).args(more);
        command.env("ORDERS_PORT", self.port.to_string());
        Running::start(command)
    }

    fn store(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("leasehold.yaml.db").display())
    }

    fn ask(&self, args: &[&str]) -> support::Ran {
        leasehold(Path::new("/")).args(args).args(["--store", &self.store()]).output().unwrap().into()
    }

    /// What the order file of a tenant comes to, counted here.
    fn totals(&self, tenant: &str) -> Value {
        let text = std::fs::read_to_string(self.folder.path().join(format!("orders/{tenant}.csv"))).unwrap();
        let (mut orders, mut quantity, mut cents) = (0_u64, 0_u64, 0_u64);
        for line in text.lines().skip(1) {
            let columns: Vec<&str> = line.split(',').collect();
            let (pieces, price): (u64, u64) = (columns[3].parse().unwrap(), columns[4].parse().unwrap());
            orders += 1;
            quantity += pieces;
            cents += pieces * price;
        }
        assert!(orders > 300, "{tenant} has {orders} orders");
        json!({"orders": orders, "quantity": quantity, "total_cents": cents})
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Which job runs for which tenant.
fn expected() -> BTreeSet<(String, String)> {
    let tenants = ["acme", "globex", "hooli", "initech", "umbrella"];
    let sync = tenants.iter().map(|tenant| ((*tenant).to_owned(), "sync-orders".to_owned()));
    let report = tenants[..4].iter().map(|tenant| ((*tenant).to_owned(), "sales-report".to_owned()));
    sync.chain(report).collect()
}

fn text<'a>(report: &'a Value, field: &str) -> &'a str {
    report[field].as_str().unwrap_or_else(|| panic!("{field} of {report}"))
}

#[test]
fn it_reports_within_five_seconds_and_every_total_is_right_and_it_drains() {
    let quickstart = Quickstart::copy();
    let started = Instant::now();
    let dev = quickstart.dev(&["-o", "json"]);

    let mut missing = expected();
    let mut seen = 0;
    while !missing.is_empty() {
        let report = dev.json(started + DEADLINE);
        if seen == 0 {
            let first = started.elapsed();
            assert!(first < Duration::from_secs(5), "the first report came after {first:?}");
        }
        seen += 1;
        assert_eq!(text(&report, "outcome"), "succeeded", "{report}");
        assert_eq!(report["result"], quickstart.totals(text(&report, "tenant")), "{report}");
        missing.remove(&(text(&report, "tenant").to_owned(), text(&report, "job").to_owned()));
    }

    // The program's file says the same as its result.
    for (tenant, _) in expected().into_iter().filter(|(_, job)| job == "sales-report") {
        let file = std::fs::read_to_string(quickstart.folder.path().join(format!("reports/{tenant}.txt"))).unwrap();
        let last: Value = serde_json::from_str(file.lines().last().unwrap()).unwrap();
        assert_eq!(last, quickstart.totals(&tenant), "{file}");
        assert!(file.starts_with(&format!("Sales of {tenant}\n")), "{file}");
    }

    dev.signal(Signal::INT);
    let (status, rest, stderr) = dev.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains(&format!("store: {}", quickstart.store())), "{stderr}");
    assert!(stderr.contains("programs may run") && stderr.contains("loopback"), "{stderr}");

    // Drained: nothing runs, nobody leads, no executor is left, and all that was reported was printed.
    let left = quickstart.ask(&["status", "-o", "json"]).ok().json();
    assert_eq!(left["queue"]["running"], 0, "{left}");
    assert_eq!((&left["leader"], &left["executors"]), (&Value::Null, &json!([])));
    assert_eq!(left["catalog"]["stalled_interval_jobs"], 0);
    let kept = ended_runs(&quickstart);
    assert_eq!(kept, seen + rest.len(), "{stderr}");

    // The order service has ended with it.
    wait_for("the end of the order service", || TcpListener::bind(("127.0.0.1", quickstart.port)).ok());
}

/// Runs with an outcome; each of them succeeded at once, so each has one report.
fn ended_runs(quickstart: &Quickstart) -> usize {
    quickstart.ask(&["runs", "--state", "ended", "-o", "json"]).ok().json().as_array().unwrap().len()
}

#[test]
fn a_second_dev_takes_over_from_a_killed_one_at_once() {
    let quickstart = Quickstart::copy();
    let first = quickstart.dev(&["-o", "json"]);
    first.json(Instant::now() + DEADLINE);
    first.signal(Signal::KILL);
    first.end();
    wait_for("the end of the orphaned order service", || TcpListener::bind(("127.0.0.1", quickstart.port)).ok());

    let started = Instant::now();
    let second = quickstart.dev(&["-o", "json"]);
    let report = second.json(started + Duration::from_secs(5));
    assert_eq!(report["result"], quickstart.totals(text(&report, "tenant")), "{report}");
    let leader = quickstart.ask(&["status", "-o", "json"]).ok().json()["leader"].clone();
    assert_eq!(leader["term"].as_i64().map(|term| term > 1), Some(true), "{leader}");
    second.signal(Signal::TERM);
    assert_eq!(second.end().0.code(), Some(0));
}

#[test]
fn an_edited_config_is_applied_and_a_broken_one_is_not() {
    let quickstart = Quickstart::copy();
    let config = quickstart.folder.path().join("leasehold.yaml");
    let dev = quickstart.dev(&[]);
    let revision = || {
        let status = quickstart.ask(&["status", "-o", "json"]);
        (status.code == 0).then(|| status.json()["catalog"].clone())
    };
    wait_for("the first apply", || revision().filter(|catalog| catalog["jobs"] == 9));

    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("features: [reports]", "plan: enterprise")).unwrap();
    wait_for("the second apply", || revision().filter(|catalog| catalog["jobs"] == 8));

    std::fs::write(&config, text.replace("every: 2s", "evry: 2s")).unwrap();
    dev.wait_told("not applied");
    assert_eq!(revision().unwrap()["jobs"], 8);
    std::fs::write(&config, text).unwrap();
    wait_for("the third apply", || revision().filter(|catalog| catalog["jobs"] == 9));

    dev.signal(Signal::INT);
    let (status, _, stderr) = dev.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("- remove job initech/sales-report"), "{stderr}");
    assert!(stderr.contains("unknown key `evry`") && stderr.contains("not applied"), "{stderr}");
}

#[test]
fn the_table_goes_to_a_reader_that_may_leave() {
    let quickstart = Quickstart::copy();
    let dev = quickstart.dev(&[]);
    let until = Instant::now() + DEADLINE;
    let titles = dev.line(until).unwrap();
    assert!(titles.starts_with("TIME (UTC)") && titles.contains("CORRELATION ID"), "{titles}");
    let mut line = dev.line(until).unwrap();
    if !line.contains("succeeded") {
        line = dev.line(until).unwrap(); // the day stands in front
    }
    assert!(line.contains("succeeded") && line.contains("total_cents"), "{line}");
    dev.signal(Signal::INT);
    assert_eq!(dev.end().0.code(), Some(0));
}
