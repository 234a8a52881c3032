//! Two fleets on a real PostgreSQL, driven as a user drives them: through the commands.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

use leasehold_tests::fleet::{Process, get, leasehold, leasehold_ok};
use leasehold_tests::http::Endpoint;
use leasehold_tests::server::Postgres;
use leasehold_tests::{server, stores, wait};
use rustix::process::Signal;
use serde_json::Value;

/// A folder with a config and scripts, and a migrated and applied store.
struct Site {
    folder: tempfile::TempDir,
    url: String,
}

impl Site {
    async fn new(config: &str, scripts: &[(&str, &str)]) -> Self {
        Self::on(stores::postgres_database(server::postgres()).await, config, scripts)
    }

    /// On a SQLite file in its folder.
    fn sqlite(config: &str, scripts: &[(&str, &str)]) -> Self {
        Self::on("sqlite:leasehold.db".to_owned(), config, scripts)
    }

    fn on(url: String, config: &str, scripts: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("leasehold.yaml"), config).unwrap();
        for (name, text) in scripts {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let site = Self { folder, url };
        let _ = site.cli(&["migrate"]);
        let _ = site.cli(&["apply", "leasehold.yaml"]);
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn cli(&self, arguments: &[&str]) -> String {
        leasehold_ok(self.path(), &[arguments, &["--store", &self.url]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.cli(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    fn scheduler(&self, name: &str) -> Process {
        let arguments = [
            "--store",
            &self.url,
            "--lease-ttl",
            "2s",
            "--lease-renew",
            "500ms",
            "--lease-retry",
            "200ms",
            "--look-ahead",
            "5s",
            "--ops-listen",
            "127.0.0.1:0",
        ];
        Process::start(name, self.path(), "leasehold-scheduler", &arguments, &[])
    }

    fn executor(&self, name: &str, extra: &[&str]) -> Process {
        let own = ["--store", &self.url, "--allow-commands", "--claim-ttl", "2s", "--ops-listen", "127.0.0.1:0"];
        Process::start(name, self.path(), "leasehold-executor", &[&own, extra].concat(), &[])
    }

    /// All reports so far, as a script gets them.
    fn reports(&self, watch: &Process) -> Vec<Value> {
        watch
            .output()
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).expect("one object a line"))
            .collect()
    }

    fn watch(&self) -> Process {
        let arguments = ["watch", "-o", "json", "--after", "0", "--store", &self.url];
        Process::start("watch", self.path(), "leasehold", &arguments, &[])
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is not text in {value}"))
}

const FIELDS: [&str; 17] = [
    "attempt",
    "cause",
    "correlation_id",
    "duration_ms",
    "error",
    "error_code",
    "executor",
    "finished_at",
    "job",
    "lateness_ms",
    "next_attempt_at",
    "outcome",
    "result",
    "scheduled_for",
    "seq",
    "started_at",
    "tenant",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_fleets_run_what_the_config_says_and_watch_shows_it() {
    let endpoint = Endpoint::start().await;
    let config = format!(
        r#"
version: 1
tenants:
  - {{id: acme, plan: enterprise, features: [billing, reports], timezone: America/New_York, labels: {{region: us}}}}
  - {{id: globex, plan: starter, features: [billing]}}
jobs:
  - name: sync-orders
    every: 1s
    http: {{method: POST, url: "http://127.0.0.1:{}/sync/{{{{ tenant.id }}}}"}}
    payload: {{full: true}}
    timeout: 20s
    retry: {{attempts: 5, backoff: {{initial: 1s, max: 5m, factor: 2}}}}
  - name: nightly-report
    tenants: {{features: [reports]}}
    cron: "*/2 * * * * *"
    timezone: "{{{{ tenant.timezone }}}}"
    command: {{argv: ["./report.sh", "{{{{ tenant.id }}}}", "two words; $(touch pwned)"]}}
"#,
        endpoint.port
    );
    let report = "#!/bin/sh\nprintf '%s|%s|%s' \"$1\" \"$2\" \"$LEASEHOLD_JOB\"\n";
    let site = Site::new(&config, &[("report.sh", report)]).await;
    let watch = site.watch();
    let schedulers = [site.scheduler("s1"), site.scheduler("s2")];
    let executors =
        [site.executor("e1", &["--allow-net", "127.0.0.0/8"]), site.executor("e2", &["--allow-net", "127.0.0.0/8"])];

    wait::until("three runs of each job", || async {
        let reports = site.reports(&watch);
        let count = |tenant: &str, job: &str| {
            reports
                .iter()
                .filter(|r| text(r, "tenant") == tenant && text(r, "job") == job && r["outcome"] == "succeeded")
                .count()
        };
        let least =
            count("acme", "sync-orders").min(count("globex", "sync-orders")).min(count("acme", "nightly-report"));
        if least >= 3 { Ok(()) } else { Err(format!("{least}: {reports:#?}")) }
    })
    .await;

    let reports = site.reports(&watch);
    let mut last = 0;
    for report in &reports {
        let fields: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields.iter().copied().collect::<BTreeSet<_>>(), FIELDS.into_iter().collect(), "{report}");
        let seq = report["seq"].as_i64().unwrap();
        assert!(seq > last, "seq grows");
        last = seq;
        for time in ["scheduled_for", "started_at", "finished_at"] {
            let value = text(report, time);
            assert!(value.ends_with('Z') && value.contains('.'), "{time}: {value}");
        }
    }
    let run = reports.iter().find(|report| text(report, "job") == "nightly-report").unwrap();
    assert_eq!(text(run, "result"), "acme|two words; $(touch pwned)|nightly-report");
    assert!(!site.path().join("pwned").exists(), "argv is never a shell's");
    assert_eq!((text(run, "cause"), run["attempt"].as_i64()), ("schedule", Some(1)));
    assert!(!reports.iter().any(|r| text(r, "tenant") == "globex" && text(r, "job") == "nightly-report"));

    let asked = endpoint.asked();
    let one = asked.iter().find(|asked| asked.line == "POST /sync/globex").expect("globex was synced");
    assert_eq!(one.headers["leasehold-tenant"], "globex");
    assert_eq!(one.headers["leasehold-job"], "sync-orders");
    assert_eq!(one.headers["leasehold-attempt"], "1");
    assert!(reports.iter().any(|report| text(report, "correlation_id") == one.headers["leasehold-correlation-id"]));
    let trace: Vec<&str> = one.headers["traceparent"].split('-').collect();
    assert_eq!((trace.len(), trace[0], trace[1].len(), trace[2].len()), (4, "00", 32, 16));
    let body: Value = serde_json::from_str(&one.body).unwrap();
    assert_eq!(body["payload"]["full"], true);

    story_and_status(&site, run, &schedulers).await;

    for process in schedulers.into_iter().chain(executors) {
        assert!(process.terminate().await.success());
    }
    let status = site.json(&["status"]);
    assert_eq!(status["leader"], Value::Null);
    assert_eq!(status["executors"], Value::Array(Vec::new()), "executors that end take themselves off the list");
}

/// What the other commands say of the same system.
async fn story_and_status(site: &Site, run: &Value, schedulers: &[Process]) {
    let id = text(run, "correlation_id");
    let story = site.json(&["runs", "show", id]);
    assert_eq!(text(&story, "outcome"), "succeeded");
    assert_eq!(story["reports"][0]["seq"], run["seq"]);

    let triggered = site.cli(&["trigger", "nightly-report", "--tenant", "acme"]).trim().to_owned();
    wait::until("the triggered run ends", || async {
        let story = site.json(&["runs", "show", &triggered]);
        if story["state"] == "ended" { Ok(story) } else { Err(story) }
    })
    .await;
    assert_eq!(site.json(&["runs", "show", &triggered])["cause"], "trigger");
    let missing = leasehold(site.path(), &["trigger", "no-such-job", "--tenant", "acme", "--store", &site.url]);
    assert_eq!(missing.status.code(), Some(4));

    let status = site.json(&["status"]);
    let pids: Vec<u64> = schedulers.iter().map(|process| u64::from(process.pid())).collect();
    assert!(pids.contains(&status["leader"]["pid"].as_u64().unwrap()));
    assert!(status["leader"]["term"].as_i64().unwrap() > 0 && status["leader"]["expires_in_ms"].as_i64().unwrap() > 0);
    assert_eq!(status["executors"].as_array().unwrap().len(), 2);
    assert!(status["queue"]["depth"].is_i64() && status["next_due"].is_string());
    assert_eq!(status["catalog"]["stalled_interval_jobs"], 0);
    assert_eq!(site.json(&["tenants"]).as_array().unwrap().len(), 2);
    assert_eq!(site.json(&["jobs"]).as_array().unwrap().len(), 3);

    for process in schedulers {
        let address = process.ops().await;
        for path in ["/livez", "/readyz"] {
            assert_eq!(get(&address, path).await.unwrap().0, 200, "{path}");
        }
    }
    let again = site.cli(&["apply", "leasehold.yaml", "--dry-run"]);
    assert!(!again.contains("add ") && !again.contains("remove "), "applying is idempotent: {again}");
}

/// Its first attempt takes for ever, the others are quick.
const SLOW_ONCE: &str =
    "#!/bin/sh\necho \"$$ $LEASEHOLD_ATTEMPT\" >>attempts\n[ \"$LEASEHOLD_ATTEMPT\" -gt 1 ] || exec sleep 600\n";

const ONE_JOB: &str = r#"
version: 1
tenants: [{id: acme}]
jobs:
  - name: slow
    cron: "0 0 1 1 *"
    command: {argv: ["./slow.sh"]}
    retry: {attempts: ATTEMPTS, backoff: {initial: 100ms, max: 1s, factor: 1}}
"#;

async fn started(site: &Site) {
    wait::until("the first attempt has started", || async {
        std::fs::read_to_string(site.path().join("attempts")).map(drop)
    })
    .await;
}

async fn ended(site: &Site, id: &str) -> Value {
    wait::until("the run has ended", || async {
        let story = site.json(&["runs", "show", id]);
        if story["state"] == "ended" { Ok(story) } else { Err(story) }
    })
    .await
}

async fn a_killed_executor_loses_nothing(site: Site) {
    let _scheduler = site.scheduler("s1");
    let first = site.executor("e1", &[]);
    let id = site.cli(&["trigger", "slow", "--tenant", "acme"]).trim().to_owned();
    started(&site).await;
    first.kill();
    program_is_gone(&site).await;
    let _second = site.executor("e2", &[]);
    let story = ended(&site, &id).await;
    let outcomes: Vec<_> = story["reports"].as_array().unwrap().iter().map(|r| text(r, "outcome")).collect();
    assert_eq!(outcomes, ["failed", "succeeded"], "{story:#}");
    assert!(text(&story["reports"][0], "error").contains("lost"));
}

async fn a_zombie_changes_nothing(site: Site) {
    let _scheduler = site.scheduler("s1");
    let first = site.executor("e1", &[]);
    let id = site.cli(&["trigger", "slow", "--tenant", "acme"]).trim().to_owned();
    started(&site).await;
    first.signal(Signal::STOP);
    let second = site.executor("e2", &[]);
    let story = ended(&site, &id).await;
    first.signal(Signal::CONT);
    program_is_gone(&site).await;
    assert!(first.terminate().await.success());
    assert!(second.terminate().await.success());
    assert_eq!(site.json(&["runs", "show", &id]), story, "nothing was added to the story");
}

/// Waits until the program of the first attempt has ended; nobody here ends it.
async fn program_is_gone(site: &Site) {
    let attempts = std::fs::read_to_string(site.path().join("attempts")).unwrap();
    let pid = attempts.split_whitespace().next().unwrap().to_owned();
    wait::until("the program of the first attempt has ended", || async {
        // Where nobody collects the children of the dead, it stays on the list, as a zombie.
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_executor_loses_nothing_and_its_crash_counts() {
    let config = ONE_JOB.replace("ATTEMPTS", "2");
    a_killed_executor_loses_nothing(Site::new(&config, &[("slow.sh", SLOW_ONCE)]).await).await;
    a_killed_executor_loses_nothing(Site::sqlite(&config, &[("slow.sh", SLOW_ONCE)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_changes_nothing_and_is_told_to_stop() {
    let config = ONE_JOB.replace("ATTEMPTS", "3");
    a_zombie_changes_nothing(Site::new(&config, &[("slow.sh", SLOW_ONCE)]).await).await;
    a_zombie_changes_nothing(Site::sqlite(&config, &[("slow.sh", SLOW_ONCE)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_database_is_survived() {
    let postgres = Postgres::default();
    let database = postgres.start();
    let (folder, port) = (database.folder.clone(), database.port);
    let config = "version: 1\ntenants: [{id: acme}]\njobs:\n  - {name: tick, cron: \"* * * * * *\", command: {argv: [\"true\"]}}\n  - {name: beat, every: 1s, command: {argv: [\"true\"]}}\n";
    let site = Site::on(stores::postgres_database(&database).await, config, &[]);
    let (scheduler, executor) = (site.scheduler("s1"), site.executor("e1", &[]));
    let succeeded = async |after: i64| {
        wait::until("both jobs run", || async {
            let seen = site.cli(&["runs", "list", "--outcome", "succeeded", "-o", "json"]);
            let runs: Vec<Value> = serde_json::from_str(&seen).unwrap();
            let later = |job: &str| {
                runs.iter().any(|run| {
                    let due: jiff::Timestamp = text(run, "scheduled_for").parse().unwrap();
                    text(run, "job") == job && due.as_second() > after
                })
            };
            if later("tick") && later("beat") { Ok(()) } else { Err(seen) }
        })
        .await;
    };
    succeeded(0).await;
    database.crash();
    let address = scheduler.ops().await;
    wait::until("the scheduler says that it is not ready", || async {
        match get(&address, "/readyz").await {
            Ok((200, body)) => Err(body),
            other => {
                drop(other);
                Ok(())
            }
        }
    })
    .await;
    assert_eq!(get(&address, "/livez").await.unwrap().0, 200, "alive all the while");
    assert_eq!(leasehold(site.path(), &["status", "--store", &site.url]).status.code(), Some(3));
    let back = jiff::Timestamp::now().as_second();
    let _database = postgres.start_in(&folder, port);
    wait::until("PostgreSQL is back", || async {
        let output = leasehold(site.path(), &["status", "--store", &site.url]);
        if output.status.success() { Ok(()) } else { Err(output) }
    })
    .await;
    succeeded(back).await;
    assert_eq!(site.json(&["status"])["catalog"]["stalled_interval_jobs"], 0);
    assert!(executor.terminate().await.success() && scheduler.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_say_what_is_wrong_with_their_store() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("postgres://leasehold@127.0.0.1:{}/nothing", server::free_port());
    let empty = stores::postgres_database(server::postgres()).await;
    for program in ["leasehold-scheduler", "leasehold-executor"] {
        for (url, code, hint) in
            [(nowhere.as_str(), 3, "Connection refused"), (&empty, 1, "leasehold migrate"), ("mysql://x", 2, "sqlite:")]
        {
            let output = std::process::Command::new(leasehold_tests::fleet::binary(program))
                .args(["--store", url, "--ops-listen", "127.0.0.1:0"])
                .current_dir(folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{program} on {url}: {said}");
            assert!(said.contains(hint), "{program} on {url}: {said}");
        }
    }
}
