//! The binary: its flags, exit codes, probes and signals.
#![expect(unreachable_pub, dead_code, clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Fixture, definition, job};
use leasehold_common::command::CommandSpec;
use leasehold_common::definition::HandlerSpec;
use leasehold_common::run::Outcome;
use rustix::process::{Pid, Signal, kill_process};

fn executor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold-executor"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    executor(arguments).output().unwrap()
}

fn store_in(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("leasehold.db").display())
}

#[test]
fn wrong_usage_exits_2_and_says_what_would_be_right() {
    for (arguments, text) in [
        (&["--claim-ttl", "500ms"][..], "at least 1s"),
        (&["--claim-ttl", "soon"], "10s"),
        (&["--slots", "0"], "1.."),
        (&["--allow-net", "10.0.0.0/40"], "10.1.0.0/16"),
        (&["--queue", "a b"], "letters"),
        (&["--command-env", "AWS_REGION=eu"], "AWS_REGION"),
        (&["--command-env", "LEASEHOLD_STORE"], "written by the executor"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&[], "--store"),
    ] {
        let mut all = vec!["--store", "sqlite:/nowhere/x.db"];
        all.extend(arguments);
        let said = output(if arguments.is_empty() { &[] } else { &all });
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
        assert!(said.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_exits_3_and_one_without_a_schema_1() {
    let folder = tempfile::tempdir().unwrap();
    let url = store_in(folder.path());
    let said = output(&["--store", &url, "--ops-listen", ":0"]);
    assert_eq!(said.status.code(), Some(3), "{said:?}");
    assert!(!folder.path().join("leasehold.db").exists(), "an executor creates no store");
    common::open(folder.path()).await.close().await;
    let said = output(&["--store", &url, "--ops-listen", ":0"]);
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("leasehold migrate"), "{stderr}");
}

/// A started executor; killed if a test fails.
struct Started {
    child: Child,
    ops: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(fixture: &Fixture, arguments: &[&str]) -> Started {
    let store = store_in(fixture.folder.path());
    let workdir = fixture.folder.path().to_str().unwrap();
    let mut child = executor(&["--store", &store, "--ops-listen", ":0", "--workdir", workdir])
        .args(arguments)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = Vec::new();
    let ops = loop {
        let line = lines.next().unwrap_or_else(|| panic!("it ended: {seen:?}")).unwrap();
        if let Some((_, address)) = line.split_once("ops listening on http://") {
            break address.split_whitespace().next().unwrap().to_owned();
        }
        seen.push(line);
    };
    // Nobody may have to wait for a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Started { child, ops }
}

fn get(ops: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(ops).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {ops}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_work_answers_probes_and_drains_on_sigterm() {
    let fixture = Fixture::new().await;
    let command = |script: &str| HandlerSpec::Command(CommandSpec::new(["sh", "-c", script]));
    let jobs = [
        (job("quick"), definition(command("echo quick"))),
        (job("long"), definition(command("touch started; sleep 0.7; echo long"))),
    ];
    fixture.apply(jobs, Duration::from_secs(3_600)).await;
    let mut started = start(&fixture, &["--allow-commands", "--drain-timeout", "20s"]);
    let quick = fixture.trigger("quick").await;
    assert_eq!(fixture.story(quick).await[0].outcome, Outcome::Succeeded);
    assert_eq!(get(&started.ops, "/livez").0, 200);
    assert_eq!(get(&started.ops, "/readyz").0, 200);
    let metrics = get(&started.ops, "/metrics").1;
    for line in ["leasehold_runs_total{outcome=\"succeeded\"} 1", "leasehold_slots 16", "leasehold_claimed_total 1"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("acme") && !metrics.contains("quick"), "{metrics}");
    let (status, queues) = get(&started.ops, "/queues");
    assert_eq!((status, queues.starts_with("{\"queues\":[")), (200, true), "{queues}");
    let probe = output(&["healthcheck", "--ops-listen", &started.ops]);
    assert_eq!(probe.status.code(), Some(0), "{probe:?}");

    let long = fixture.trigger("long").await;
    let marker = fixture.folder.path().join("started");
    common::until("the start of the long run", || async { marker.exists().then_some(()) }).await;
    let pid = Pid::from_raw(i32::try_from(started.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = started.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it did not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(status.code(), Some(0));
    let reports = fixture.story(long).await;
    assert_eq!((reports.len(), reports[0].outcome, reports[0].attempt), (1, Outcome::Succeeded, 1));
    assert!(fixture.store.status().await.unwrap().executors.is_empty());
}
