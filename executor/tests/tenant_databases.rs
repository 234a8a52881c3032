//! Jobs with `sql`, and Rust handlers with their tenant's database, over a real store and SQLite files of tenants.
#![expect(unreachable_pub, clippy::unwrap_used, dead_code, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Fixture, definition, job, named};
use leasehold_common::definition::{Definition, HandlerSpec, Tenant, TenantDatabase};
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::statement::{SqlParam, SqlStatement};
use leasehold_common::template::RunScope;
use leasehold_executor::{ExecutorOptions, HandlerError, RunContext, current, sqlx};
use serde_json::{Value, json};
use sqlx::Connection as _;

const RUN: &str = "019aa3e1-c07b-8000-8bd5-c3a6a4f5a1b2";

fn tenant(id: &str, database: Option<String>) -> Tenant {
    let database = database.map(|url| TenantDatabase { url, password: None, schema: None });
    Tenant { database, ..Tenant::new(TenantId::new(id).unwrap()) }
}

fn context(tenant: Tenant) -> RunContext {
    let run = RunScope {
        correlation_id: RUN.parse().unwrap(),
        attempt: 1,
        scheduled_for: "2026-11-21T02:00:00Z".parse().unwrap(),
    };
    RunContext::new(Arc::new(tenant), JobName::new("purge").unwrap(), run)
        .with_timeout(Duration::from_secs(60))
        .with_tenant_databases()
}

async fn file(folder: &tempfile::TempDir, name: &str) -> String {
    let path = folder.path().join(name);
    let mut connection =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    sqlx::raw_sql("CREATE TABLE cart (id INTEGER PRIMARY KEY, paid BOOLEAN, note TEXT); INSERT INTO cart VALUES (1, 0, 'x'), (2, 1, 'y')")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    format!("sqlite:{}", path.display())
}

async fn purge(ctx: RunContext) -> Result<Value, HandlerError> {
    let mut tx = ctx.database().await?.sqlite().await?;
    let gone = sqlx::query("DELETE FROM cart WHERE NOT paid").execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(json!({ "carts": gone, "tenant": current().map(|current| current.tenant().id.to_string()) }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_handler_works_in_its_tenants_database() {
    let folder = tempfile::tempdir().unwrap();
    let url = file(&folder, "acme.db").await;
    let acme = context(tenant("acme", Some(url.clone())));
    assert_eq!(purge(acme.clone()).await.unwrap()["carts"], 1);
    assert_eq!(purge(acme.clone()).await.unwrap()["carts"], 0);

    let mut tx = acme.database().await.unwrap().sqlite().await.unwrap();
    sqlx::query("DELETE FROM cart").execute(&mut *tx).await.unwrap();
    drop(tx);
    let mut tx = acme.database().await.unwrap().sqlite().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM cart").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(left, 1, "what is not committed is undone");
    tx.rollback().await.unwrap();

    let error = acme.database().await.unwrap().postgres().await.unwrap_err();
    assert!(!error.retry && error.message.contains("SQLite"), "{error}");
    let error = context(tenant("globex", None)).database().await.unwrap_err();
    assert!(!error.retry && error.message.contains("tenant globex has no database"), "{error}");
    let missing = format!("sqlite:{}", folder.path().join("none.db").display());
    let error = context(tenant("globex", Some(missing))).database().await.unwrap().sqlite().await.unwrap_err();
    assert!(error.retry && error.message.contains("no database file"), "{error}");
    assert!(!folder.path().join("none.db").exists(), "a database is opened and never made");
    for url in ["sqlite:", "sqlite::memory:", "sqlite:file:x?mode=memory"] {
        let error = context(tenant("acme", Some(url.to_owned()))).database().await.unwrap().sqlite().await.unwrap_err();
        assert!(!error.retry, "{url}: {error}");
    }
}

fn sql(statements: &[(&str, &[SqlParam])]) -> Definition {
    let statements = statements
        .iter()
        .map(|(statement, params)| SqlStatement { statement: (*statement).to_owned(), params: params.to_vec() })
        .collect();
    Definition {
        payload: Some(json!({ "note": "'); DROP TABLE cart; --" })),
        ..definition(HandlerSpec::Sql { statements })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_sql_runs_in_its_tenants_database() {
    let fixture = Fixture::new().await;
    let url = file(&fixture.folder, "tenant-acme.db").await;
    let payload = |name: &str| SqlParam::Payload(name.to_owned());
    let hour = Duration::from_secs(3_600);
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";
    fixture
        .apply_of(
            tenant("acme", Some(url)),
            [
                (
                    job("purge"),
                    sql(&[
                        ("DELETE FROM cart WHERE NOT paid", &[]),
                        ("UPDATE cart SET note = $1 WHERE id = $2", &[payload("note"), SqlParam::Value(json!(2))]),
                        ("SELECT id, note, $1 AS who FROM cart", &[SqlParam::Text("{{ tenant.id }}".to_owned())]),
                    ]),
                ),
                (job("wrong"), sql(&[("DELETE FROM cart", &[]), ("DELETE FROM nowhere", &[])])),
                (job("count"), sql(&[("SELECT count(*) AS n FROM cart", &[])])),
                (job("endless"), Definition { timeout: Duration::from_millis(300), ..sql(&[(endless, &[])]) }),
                (job("rust"), definition(named("purge"))),
            ],
            hour,
        )
        .await;
    let running = fixture.start(ExecutorOptions::default(), |executor| executor.handler("purge", purge));
    let end = async |name: &str| fixture.story(fixture.trigger(name).await).await.pop().unwrap();
    let done = end("purge").await;
    assert_eq!(
        done.result,
        Some(json!({ "rows_affected": 3, "statements": [
            { "rows_affected": 1 },
            { "rows_affected": 1 },
            { "rows_affected": 1, "rows": [{ "id": 2, "note": "'); DROP TABLE cart; --", "who": "acme" }] },
        ] })),
        "{:?}",
        done.error
    );
    let wrong = end("wrong").await;
    assert_eq!(wrong.attempt, 1, "a table that is not there is not there the next time either");
    assert!(wrong.error.unwrap().starts_with("statement 2: no such table"));
    let count = end("count").await;
    assert_eq!(count.result.unwrap()["statements"][0]["rows"], json!([{ "n": 1 }]), "the first statement was undone");
    let endless = end("endless").await;
    assert!(endless.error.as_deref().unwrap().contains("timed out"), "{:?}", endless.error);
    let rust = end("rust").await;
    assert_eq!(rust.result, Some(json!({ "carts": 0, "tenant": "acme" })));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_a_database_fails_for_good_and_says_why() {
    let fixture = Fixture::new().await;
    fixture.apply([(job("purge"), sql(&[("DELETE FROM cart", &[])]))], Duration::from_secs(3_600)).await;
    let running = fixture.start(ExecutorOptions::default(), |executor| executor);
    let reports = fixture.story(fixture.trigger("purge").await).await;
    assert_eq!(reports.len(), 1, "no other attempt could help");
    assert!(reports[0].error.as_deref().unwrap().contains("tenant acme has no database"), "{reports:?}");
    running.stop().await;
}
