//! Runs that die, as an operator meets them: through the commands, with real fleets, over both stores.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use leasehold_tests::fleet::{Process, leasehold, leasehold_ok};
use leasehold_tests::{server, stores, wait};
use serde_json::Value;

const CONFIG: &str = r#"
version: 1
tenants: [{id: acme}, {id: globex}, {id: initech}]
jobs:
  - name: report
    at: "2099-01-01T00:00"
    timezone: UTC
    command: {argv: ["./report.sh"]}
    retry: {attempts: 2, backoff: {initial: 10ms, max: 10ms}, give_up_on: [exit.3]}
"#;

struct Site {
    folder: tempfile::TempDir,
    url: String,
    _scheduler: Process,
}

impl Site {
    async fn new(postgres: bool) -> Self {
        let url = match postgres {
            true => stores::postgres_database(server::postgres()).await,
            false => "sqlite:leasehold.db".to_owned(),
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("leasehold.yaml"), CONFIG).unwrap();
        let _ = leasehold_ok(folder.path(), &["migrate", "--store", &url]);
        let _ = leasehold_ok(folder.path(), &["apply", "leasehold.yaml", "--store", &url]);
        let arguments = ["--store", &url, "--ops-listen", "127.0.0.1:0"];
        let scheduler = Process::start("scheduler", folder.path(), "leasehold-scheduler", &arguments, &[]);
        Self { folder, url, _scheduler: scheduler }
    }

    fn script(&self, text: &str) {
        let path = self.folder.path().join("report.sh");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn executor(&self, name: &str) -> Process {
        let arguments = ["--store", &self.url, "--allow-commands", "--claim-ttl", "1s", "--ops-listen", "127.0.0.1:0"];
        Process::start(name, self.folder.path(), "leasehold-executor", &arguments, &[])
    }

    fn cli(&self, arguments: &[&str]) -> String {
        leasehold_ok(self.folder.path(), &[arguments, &["--store", &self.url]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.cli(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = leasehold(self.folder.path(), &[arguments, &["--store", &self.url]].concat());
        assert!(!output.status.success(), "{arguments:?} was not refused");
        String::from_utf8(output.stderr).unwrap()
    }

    fn trigger(&self, tenant: &str) -> String {
        self.cli(&["trigger", "report", "--tenant", tenant]).trim().to_owned()
    }

    async fn ended(&self, id: &str) -> Value {
        wait::until("the run has ended", || async {
            let story = self.json(&["runs", "show", id]);
            if story["state"] == "ended" { Ok(story) } else { Err(story) }
        })
        .await
    }
}

/// From the first dead run to an empty list.
async fn letters_are_shown_redriven_and_discarded(site: Site) {
    let executor = site.executor("executor");
    site.script("#!/bin/sh\necho \"no space for $LEASEHOLD_CORRELATION_ID\" >&2\nexit 3\n");
    let ids = ["acme", "globex", "initech"].map(|tenant| site.trigger(tenant));
    for id in &ids {
        let story = site.ended(id).await;
        assert_eq!(
            (&story["outcome"], story["attempt"].as_i64()),
            (&Value::from("dead"), Some(1)),
            "exit.3 is given up"
        );
        assert_eq!(story["reports"][0]["error_code"], "exit.3");
    }
    let groups = site.json(&["dead"]);
    assert_eq!(groups.as_array().unwrap().len(), 1, "{groups:#}");
    let group = &groups[0];
    assert_eq!((group["count"].as_i64(), group["tenants"].as_i64()), (Some(3), Some(3)));
    assert!(group["sample_error"].as_str().unwrap().contains("no space for"));
    assert!(site.cli(&["dead"]).contains("exit.3"));

    assert!(site.refused(&["dead", "redrive"]).contains("--all"));
    assert!(site.refused(&["dead", "redrive", "--all", "--expect", "2", "--yes"]).contains("nothing was done"));
    assert_eq!(site.json(&["dead", "redrive", "--all", "--dry-run"]), serde_json::json!({"count": 3}));
    assert_eq!(site.json(&["dead", "redrive", "--all"]), serde_json::json!({"count": 3}), "without --yes nothing");
    site.script("#!/bin/sh\nexit 0\n");
    let discarded = site.json(&["dead", "discard", "--tenant", "initech", "--yes"]);
    assert_eq!(discarded, serde_json::json!({"count": 1, "discarded": 1}));
    let name = group["group"].as_str().unwrap();
    let redriven = site.json(&["dead", "redrive", "--group", name, "--expect", "2", "--yes"]);
    assert_eq!(redriven, serde_json::json!({"count": 2, "redriven": 2, "gone": 0}));
    for id in &ids[..2] {
        let made = site.json(&["runs", "show", id])["redriven_as"].as_str().unwrap().to_owned();
        let story = site.ended(&made).await;
        assert_eq!((&story["outcome"], &story["cause"]), (&Value::from("succeeded"), &Value::from("redrive")));
        assert_eq!(story["origin"], Value::from(id.as_str()));
    }
    assert_eq!(site.json(&["dead"]), serde_json::json!([]));
    assert!(executor.terminate().await.success());
}

/// A payload that kills whoever runs it dies after its attempts, and takes no more executors with it.
async fn a_poison_payload_dies_after_its_attempts(site: Site) {
    site.script("#!/bin/sh\nkill -9 $PPID\nsleep 60\n");
    let id = site.trigger("acme");
    for number in 0..2 {
        let executor = site.executor(&format!("victim-{number}"));
        wait::until("the executor is dead", || async {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", executor.pid())).unwrap_or_default();
            if stat.contains(") Z ") { Ok(()) } else { Err(stat) }
        })
        .await;
    }
    let _survivor = site.executor("survivor");
    let story = site.ended(&id).await;
    let reports: Vec<_> = story["reports"].as_array().unwrap().iter().collect();
    let codes: Vec<_> = reports.iter().map(|report| (&report["outcome"], &report["error_code"])).collect();
    let (failed, dead, lost) = (Value::from("failed"), Value::from("dead"), Value::from("lost"));
    assert_eq!(codes, [(&failed, &lost), (&dead, &lost)], "{story:#}");
}

/// All runs of a tenant at once; what runs is told, and does not count as dead.
async fn runs_are_cancelled_by_selector(site: Site) {
    site.script("#!/bin/sh\nexec sleep 600\n");
    let executor = site.executor("executor");
    let running = site.trigger("acme");
    wait::until("it runs", || async {
        let story = site.json(&["runs", "show", &running]);
        if story["state"] == "running" { Ok(()) } else { Err(story) }
    })
    .await;
    let other = site.trigger("globex");
    let cancel = ["runs", "cancel", "--tenant", "acme", "--tenant", "globex"];
    let none = serde_json::json!({"count": 2, "ended": null, "asked": null});
    wait::until("both run", || async {
        let runs = site.json(&["runs", "--state", "running"]);
        if runs.as_array().unwrap().len() == 2 { Ok(()) } else { Err(runs) }
    })
    .await;
    assert_eq!(site.json(&[&cancel[..], &["--dry-run"]].concat()), none);
    assert!(site.refused(&[&cancel[..], &["--expect", "3", "--yes"]].concat()).contains("nothing was done"));
    let done = site.json(&[&cancel[..], &["--expect", "2", "--yes"]].concat());
    assert_eq!(done, serde_json::json!({"count": 2, "ended": 0, "asked": 2}));
    for id in [&running, &other] {
        let story = site.ended(id).await;
        assert_eq!((&story["outcome"], &story["reports"][0]["error_code"]), (&"cancelled".into(), &"cancelled".into()));
    }
    assert_eq!(site.json(&["dead"]), serde_json::json!([]));
    assert!(executor.terminate().await.success());
}

macro_rules! both {
    ($($case:ident;)+) => { $(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case(super::Site::new(false).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case(super::Site::new(true).await).await;
            }
        }
    )+ };
}

both! {
    letters_are_shown_redriven_and_discarded;
    a_poison_payload_dies_after_its_attempts;
    runs_are_cancelled_by_selector;
}
