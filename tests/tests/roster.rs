//! Live rosters, end to end: the real processes, with a PostgreSQL and a SQLite file as the user's own databases and a
//! small HTTP server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use leasehold_tests::fleet::{self, Process, leasehold, leasehold_ok, metric};
use leasehold_tests::http::{Answer, Endpoint};
use leasehold_tests::{server, stores, wait};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

/// A store, a scheduler with these sources, and an executor.
struct Site {
    folder: tempfile::TempDir,
    url: String,
    scheduler: Option<Process>,
}

const JOBS: &str = "
jobs:
  - name: sync
    cron: \"0 0 1 1 *\"
    command: {argv: [\"true\"]}
  - name: audit
    every: 1s
    command: {argv: [\"true\"]}
    requires: { feature: audit }
";

impl Site {
    /// A store whose config has these sources, and a scheduler with this environment.
    async fn new(roster: &str, environment: &[(&str, &str)]) -> Self {
        let url = stores::postgres_database(server::postgres()).await;
        let site = Self { folder: tempfile::tempdir().unwrap(), url, scheduler: None };
        let _ = site.cli(&["migrate"]);
        site.apply(roster);
        site.with_scheduler(environment)
    }

    fn apply(&self, roster: &str) {
        std::fs::write(self.path().join("leasehold.yaml"), format!("version: 1\ntenants: []\n{roster}{JOBS}")).unwrap();
        let _ = self.cli(&["apply", "leasehold.yaml", "--allow-removal"]);
    }

    fn with_scheduler(mut self, environment: &[(&str, &str)]) -> Self {
        let arguments = ["--store", &self.url, "--ops-listen", "127.0.0.1:0"];
        self.scheduler = Some(Process::start("scheduler", self.path(), "leasehold-scheduler", &arguments, environment));
        self
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

    /// Has the sources asked; answers how they stand and whether all is well.
    fn refresh(&self, extra: &[&str]) -> (Vec<Value>, bool) {
        let arguments = [&["roster", "refresh", "-o", "json", "--store", &self.url], extra].concat();
        let output = leasehold(self.path(), &arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        let sources = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (sources, output.status.success())
    }

    /// `tenant source` of each.
    fn tenants(&self) -> Vec<String> {
        let tenants = self.json(&["tenants"]);
        let text = |tenant: &Value, key: &str| tenant[key].as_str().unwrap().to_owned();
        tenants.as_array().unwrap().iter().map(|t| format!("{} {}", text(t, "id"), text(t, "source"))).collect()
    }

    fn log(&self) -> String {
        self.scheduler.as_ref().unwrap().output()
    }
}

async fn pg(url: &str, statement: &str) {
    PgConnection::connect(url).await.unwrap().execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

async fn sqlite(path: &Path, statement: &str) {
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// Columns of every usual type, a password from the environment, and a role that may only read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_come_from_a_postgres_of_the_user() {
    let theirs = stores::postgres_database(server::postgres()).await;
    pg(
        &theirs,
        "CREATE TYPE plan AS ENUM ('pro', 'basic');
         CREATE TABLE customer (id bigint, plan plan, features text[], timezone varchar(40), labels jsonb, weight int,
                                seats numeric, since timestamptz, born date, ref uuid, active boolean);
         INSERT INTO customer VALUES
             (1, 'pro', '{audit}', 'Europe/Berlin', '{\"region\": \"eu\"}', 3, 1.50, now(), now(), gen_random_uuid(), true),
             (2, 'basic', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, true)",
    )
    .await;
    let query = "SELECT *, 'x' || id AS slug FROM customer WHERE active -- all of them";
    let roster = format!(
        "roster:\n  max_drop: 0.6\n  sources:\n    - name: crm\n      sql:\n        url: env:CRM_URL\n        query: \"{query};\"\n"
    );
    let site = Site::new(&roster, &[("CRM_URL", &theirs)]).await;
    let (sources, good) = site.refresh(&[]);
    assert!(good, "{sources:?}");
    assert_eq!((&sources[0]["tenants"], &sources[0]["refused"]), (&json!(2), &json!(0)), "{sources:?}");
    assert_eq!(site.tenants(), ["1 crm", "2 crm"]);
    let one = site.json(&["tenants", "show", "1"]);
    assert_eq!(
        (&one["plan"], &one["features"], &one["timezone"], &one["labels"], &one["weight"]),
        (&json!("pro"), &json!(["audit"]), &json!("Europe/Berlin"), &json!({"region": "eu"}), &json!(3))
    );

    // Join, leave and change in one refresh; a feature lets a job start.
    pg(
        &theirs,
        "INSERT INTO customer VALUES (3, 'pro'); UPDATE customer SET active = true;
         UPDATE customer SET features = '{audit}', active = true WHERE id = 2; UPDATE customer SET active = false WHERE id = 1",
    )
    .await;
    let (sources, good) = site.refresh(&[]);
    assert!(good, "{sources:?}");
    assert_eq!(site.tenants(), ["2 crm", "3 crm"]);
    let executor = Process::start(
        "executor",
        site.path(),
        "leasehold-executor",
        &["--store", &site.url, "--allow-commands", "--ops-listen", "127.0.0.1:0"],
        &[],
    );
    wait::until("the tenant that gained the feature runs its job, and nobody else does", || async {
        let runs = site.json(&["runs", "--job", "audit"]);
        let runs = runs.as_array().unwrap().clone();
        let ran = |tenant: &str| runs.iter().any(|run| run["tenant"] == tenant && run["outcome"] == "succeeded");
        assert!(!ran("3") && !ran("1"), "{runs:?}");
        if ran("2") { Ok(()) } else { Err(runs) }
    })
    .await;
    drop(executor);

    // A server that refuses, and an answer without anybody.
    pg(&theirs, "ALTER TABLE customer RENAME TO client").await;
    let (sources, good) = site.refresh(&[]);
    assert!(!good);
    assert!(sources[0]["error"].as_str().unwrap().contains("\"customer\" does not exist"), "{sources:?}");
    assert_eq!(site.tenants().len(), 2);
    let status = site.cli(&["status"]);
    assert!(status.contains("source crm fails, and its last tenants stay"), "{status}");
    pg(&theirs, "ALTER TABLE client RENAME TO customer; UPDATE customer SET active = false").await;
    let (sources, good) = site.refresh(&[]);
    assert!(!good);
    assert_eq!(sources[0]["held"], json!({"gone": 2, "of": 2}), "{sources:?}");
    assert_eq!(site.tenants().len(), 2);
    assert!(site.cli(&["status"]).contains("leaves out 2 of its 2 tenants"));
    let ops = site.scheduler.as_ref().unwrap().ops().await;
    assert_eq!(metric(&ops, "leasehold_roster_failures_total").await, 2.0);
    assert_eq!(metric(&ops, "leasehold_roster_tenants").await, 2.0);
    assert!(metric(&ops, "leasehold_roster_last_success_timestamp_seconds").await > 1.7e9);
    let (sources, good) = site.refresh(&["--allow-drop"]);
    assert!(good, "{sources:?}");
    assert_eq!(site.tenants(), Vec::<String>::new());
}

/// Nothing of it can be written, and no secret gets out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_can_only_read_and_errors_hold_no_secret() {
    let theirs = stores::postgres_database(server::postgres()).await;
    pg(&theirs, "CREATE TABLE customer (id text); CREATE FUNCTION spoil() RETURNS text LANGUAGE sql AS $$ INSERT INTO customer VALUES ('new') RETURNING id $$").await;
    let secret = theirs.replace("leasehold@", "leasehold:hunter2@");
    let source = |name: &str, url: &str, query: &str| {
        format!("    - {{ name: {name}, sql: {{ url: \"{url}\", query: \"{query}\" }} }}\n")
    };
    let roster = [
        "roster:\n  sources:\n".to_owned(),
        source("insert", "env:CRM_URL", "INSERT INTO customer VALUES ('x') RETURNING id"),
        source("call", "env:CRM_URL", "SELECT spoil() AS id"),
        source("two", "env:CRM_URL", "SELECT 'a' AS id) AS t; SELECT 'b' --"),
        source("slow", "env:CRM_URL", "SELECT pg_sleep(600)::text AS id"),
        source("away", "env:AWAY_URL", "SELECT 1"),
        source("typo", "env:TYPO_URL", "SELECT 1"),
        source("missing", "env:NOT_SET_URL", "SELECT 1"),
    ]
    .concat();
    let away = "postgres://u:hunter2@127.0.0.1:1/x";
    let typo = format!("{secret}?sslmod=disable");
    let environment =
        [("CRM_URL", secret.as_str()), ("AWAY_URL", away), ("TYPO_URL", &typo), ("LEASEHOLD_ROSTER_TIMEOUT", "3s")];
    let site = Site::new(&roster, &environment).await;
    let (sources, good) = site.refresh(&[]);
    assert!(!good);
    let error = |name: &str| {
        let source = sources.iter().find(|source| source["source"] == name).unwrap();
        source["error"].as_str().unwrap_or_else(|| panic!("{source}")).to_owned()
    };
    for (name, words) in [
        ("insert", "syntax error"),
        ("call", "read-only transaction"),
        ("two", "syntax error"),
        ("slow", "statement timeout"),
        ("away", "no connection to 127.0.0.1:1"),
        ("typo", "unknown parameter \"sslmod\""),
        ("missing", "no environment variable NOT_SET_URL"),
    ] {
        assert!(error(name).contains(words), "{name}: {}", error(name));
    }
    let all = format!("{sources:?}{}{}", site.log(), site.cli(&["status"]));
    assert!(!all.contains("hunter2"), "{all}");
    let mut connection = PgConnection::connect(&theirs).await.unwrap();
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM customer").fetch_one(&mut connection).await.unwrap();
    assert_eq!(written, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_come_from_a_sqlite_file_and_bad_ones_are_refused_alone() {
    let theirs = tempfile::tempdir().unwrap();
    let path = theirs.path().join("app.db");
    sqlite(
        &path,
        "PRAGMA journal_mode = WAL; CREATE TABLE account (id TEXT, zone, features, score REAL, data BLOB);
         INSERT INTO account VALUES ('acme', 'Asia/Tokyo', '[\"audit\"]', 1.5, NULL), ('globex', NULL, NULL, NULL, NULL),
             ('no good', NULL, NULL, NULL, NULL), ('lost', 'Mars/Base', NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL)",
    )
    .await;
    let query = "SELECT id, zone AS timezone, features, score FROM account";
    let roster = format!(
        "roster:\n  sources:\n    - {{ name: app, sql: {{ url: \"sqlite:{}\", query: \"{query}\" }} }}\n",
        path.display()
    );
    let site = Site::new(&roster, &[]).await;
    let (sources, good) = site.refresh(&[]);
    assert!(good, "{sources:?}");
    assert_eq!(site.tenants(), ["acme app", "globex app"]);
    assert_eq!(sources[0]["refused"], 3, "{sources:?}");
    let status = site.cli(&["status"]);
    assert!(status.contains("3 tenants of source app refused"), "{status}");
    let shown = site.cli(&["roster"]);
    assert!(shown.contains("no good") && shown.contains("Mars/Base"), "{shown}");

    sqlite(
        &path,
        "UPDATE account SET zone = 'Europe/Paris' WHERE id = 'lost'; UPDATE account SET zone = 'x' WHERE id = 'acme'",
    )
    .await;
    let (sources, _) = site.refresh(&[]);
    assert_eq!((&sources[0]["tenants"], &sources[0]["refused"]), (&json!(3), &json!(3)), "{sources:?}");
    assert_eq!(site.json(&["tenants", "show", "acme"])["timezone"], "Asia/Tokyo", "it keeps what it had");

    sqlite(&path, "DROP TABLE account").await;
    let (sources, good) = site.refresh(&[]);
    assert!(!good && sources[0]["error"].as_str().unwrap().contains("no such table"), "{sources:?}");
    std::fs::remove_file(&path).unwrap();
    let (sources, _) = site.refresh(&[]);
    assert!(sources[0]["error"].as_str().unwrap().contains("there is no file"), "{sources:?}");
    assert!(!path.exists(), "and none is made");
    assert_eq!(site.tenants().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_come_from_an_endpoint_with_a_token_from_a_file() {
    let endpoint = Endpoint::start().await;
    endpoint.answer(Answer::json(&json!([{"id": "acme"}, {"id": "globex", "features": ["audit"]}])).etag("\"1\""));
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "hunter2\n").unwrap();
    let roster = format!(
        "roster:\n  refresh: 1s\n  sources:\n    - {{ name: crm, http: {{ url: \"http://127.0.0.1:{}/tenants\", bearer: \"file:{}\" }} }}\n",
        endpoint.port,
        token.path().display()
    );
    let site = Site::new(&roster, &[]).await;
    let (sources, good) = site.refresh(&[]);
    assert!(good, "{sources:?}");
    assert_eq!(site.tenants(), ["acme crm", "globex crm"]);
    let asked = endpoint.asked();
    assert_eq!(asked[0].line, "GET /tenants");
    assert_eq!(asked[0].headers["authorization"], "Bearer hunter2");
    wait::until("it is asked by itself whether anything has changed", || async {
        let asked = endpoint.asked();
        let conditional = asked.iter().filter(|ask| ask.headers.get("if-none-match").is_some_and(|tag| tag == "\"1\""));
        if conditional.count() >= 2 { Ok(()) } else { Err(asked.len()) }
    })
    .await;
    endpoint.answer(Answer::json(&json!({"tenants": [{"id": "acme"}, {"id": "globex"}, {"id": "initech"}]})));
    wait::until("a tenant joins by itself", || async {
        let tenants = site.tenants();
        if tenants.len() == 3 { Ok(()) } else { Err(tenants) }
    })
    .await;
    endpoint.answer(Answer::json(&json!({"error": "hunter2 is wrong"})));
    wait::until("the failure is told", || async {
        let view = site.json(&["roster"]);
        if view[0]["error"].is_string() { Ok(()) } else { Err(view) }
    })
    .await;
    assert_eq!(site.tenants().len(), 3);
    std::fs::remove_file(token.path()).unwrap();
    let (sources, good) = site.refresh(&[]);
    assert!(!good && sources[0]["error"].as_str().unwrap().contains("bearer: cannot read the file"), "{sources:?}");
    assert!(!format!("{sources:?}{}", site.log()).contains("hunter2"));
    assert_eq!(site.log().matches("a source of tenants fails").count(), 1, "told once: {}", site.log());

    // Without the source its tenants go, and the store no longer knows it.
    site.apply("");
    assert_eq!(site.tenants(), Vec::<String>::new());
    wait::until("the source is forgotten", || async {
        let view = site.json(&["roster"]);
        if view == json!([]) { Ok(()) } else { Err(view) }
    })
    .await;
}

/// All in one process, on SQLite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_reconciles_too() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app.db");
    sqlite(&app, "CREATE TABLE account (id TEXT); INSERT INTO account VALUES ('acme')").await;
    let source =
        format!("{{ name: app, sql: {{ url: \"sqlite:{}\", query: \"SELECT id FROM account\" }} }}", app.display());
    let config = format!(
        "version: 1\nroster:\n  refresh: 1s\n  sources: [{source}]\njobs: [{{ name: tick, every: 1s, command: {{ argv: [\"true\"] }} }}]\n"
    );
    std::fs::write(folder.path().join("leasehold.yaml"), config).unwrap();
    let arguments = ["dev", "leasehold.yaml", "-o", "json", "--ops-listen", "127.0.0.1:0"];
    let dev = Process::start("dev", folder.path(), "leasehold", &arguments, &[]);
    wait::until("a live tenant runs", || async {
        let output = dev.output();
        if output.contains("\"tenant\":\"acme\"") { Ok(()) } else { Err(output) }
    })
    .await;
    sqlite(&app, "INSERT INTO account VALUES ('globex')").await;
    wait::until("one that joins runs too", || async {
        let output = dev.output();
        if output.contains("\"tenant\":\"globex\"") { Ok(()) } else { Err(output) }
    })
    .await;
    let _ = fleet::binary("leasehold");
    assert!(dev.terminate().await.success());
}
