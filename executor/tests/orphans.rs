//! What becomes of running programs when their executor is killed.
#![cfg(target_os = "linux")]
#![expect(unreachable_pub, dead_code, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Fixture, definition, job, until};
use leasehold_common::command::CommandSpec;
use leasehold_common::definition::HandlerSpec;
use leasehold_common::run::Outcome;
use serde_json::json;

/// An executor that is killed at the end.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(fixture: &Fixture, temporary: &Path, more: &[&str]) -> Started {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold-executor"));
    command
        .args(["--store", &format!("sqlite:{}", fixture.folder.path().join("leasehold.db").display())])
        .args(["--ops-listen", ":0", "--allow-commands", "--claim-ttl", "1s", "--workdir"])
        .arg(fixture.folder.path())
        .args(more)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TMPDIR", temporary)
        .env("REGION", "eu")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    Started(command.spawn().unwrap())
}

fn sh(script: &str) -> HandlerSpec {
    HandlerSpec::Command(CommandSpec::new(["sh", "-c", script]))
}

/// Whether a process lives; one that has ended and was not waited for does not.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

fn entries(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_their_children_end_with_an_executor_that_is_killed() {
    let fixture = Fixture::new().await;
    let temporary = fixture.folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    // A child, a grandchild that is deaf to everything else, and one that does not hold the output open.
    let tree = "trap '' TERM HUP; sleep 301 & a=$!; (trap '' TERM HUP; while :; do sleep 0.05; done) & b=$!; \
                sleep 302 > /dev/null 2>&1 & echo $$ $a $b $! > pids.new; mv pids.new pids; wait";
    let beside = "echo $$ > beside.new; mv beside.new beside; exec sleep 303";
    fixture
        .apply(
            [
                (job("tree"), definition(sh(tree))),
                (job("beside"), definition(sh(beside))),
                (job("after"), definition(sh("echo $REGION"))),
            ],
            Duration::from_secs(3_600),
        )
        .await;
    let mut killed = start(&fixture, &temporary, &[]);
    fixture.trigger("tree").await;
    fixture.trigger("beside").await;
    let read = async |name: &str| {
        let path = fixture.folder.path().join(name);
        until("the start of a program", || async { fs::read_to_string(&path).ok() }).await
    };
    let pids = format!("{} {}", read("pids").await, read("beside").await);
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert_eq!(pids.len(), 5);
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    for pid in pids {
        until("the end of a program", || async { (!lives(pid)).then_some(()) }).await;
    }

    let left = entries(&temporary);
    assert_eq!(left.len(), 1, "it could not clear away its temporary folder: {left:?}");
    let _next = start(&fixture, &temporary, &["--command-env", "REGION"]);
    let story = fixture.story(fixture.trigger("after").await).await;
    assert_eq!((story[0].outcome, story[0].result.clone()), (Outcome::Succeeded, Some(json!("eu"))), "{story:?}");
    assert!(!left[0].exists(), "the next one does");
}
