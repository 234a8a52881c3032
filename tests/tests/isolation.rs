//! Databases of tenants on PostgreSQL: whoever works for one tenant sees that tenant's schema, and nothing is left on a
//! connection for the next one.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use leasehold_common::id::TenantId;
use leasehold_store::{Param, Place, PoolOptions, StatementDone, TenantDbError, TenantPools, TenantStatement};
use leasehold_tests::server::postgres;
use leasehold_tests::stores::postgres_database;
use leasehold_tests::wait::until;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

const MINUTE: Duration = Duration::from_secs(60);

/// A database with a schema for each of two tenants, and one connection at most, so that both must share it.
struct Platform {
    url: String,
    pools: TenantPools,
}

impl Platform {
    async fn new() -> Self {
        Self::with(PoolOptions { total: 1, ..PoolOptions::default() }).await
    }

    async fn with(options: PoolOptions) -> Self {
        let url = postgres_database(postgres()).await;
        let platform = Self { url, pools: TenantPools::new(options) };
        let mut admin = platform.admin().await;
        for tenant in ["acme", "globex"] {
            let sql = format!(
                "CREATE SCHEMA \"{tenant}\"; CREATE TABLE \"{tenant}\".note (id int PRIMARY KEY, text text);
                 INSERT INTO \"{tenant}\".note VALUES (1, 'of {tenant}')"
            );
            admin.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        platform
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    fn place(&self, tenant: &str) -> Place {
        Place {
            tenant: TenantId::new(tenant).unwrap(),
            url: self.url.clone(),
            password: None,
            schema: Some(tenant.to_owned()),
        }
    }

    async fn run(&self, tenant: &str, sql: &str, params: &[Param]) -> Result<StatementDone, TenantDbError> {
        let statement = TenantStatement { sql, params: params.to_vec() };
        Ok(self.pools.run(&self.place(tenant), &[statement], MINUTE).await?.remove(0))
    }

    /// What a tenant sees as its notes.
    async fn notes(&self, tenant: &str) -> serde_json::Value {
        json!(self.run(tenant, "SELECT text FROM note ORDER BY id", &[]).await.unwrap().rows)
    }

    /// How many connections of ours wait for a statement to end.
    async fn busy(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
             AND application_name = 'leasehold-executor'",
        )
        .fetch_one(&mut self.admin().await)
        .await
        .unwrap()
    }
}

fn text(value: &str) -> Param {
    Param::Text(value.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_of_one_pool_see_their_own_schema_in_turn() {
    let p = Platform::new().await;
    for _ in 0..3 {
        assert_eq!(p.notes("acme").await, json!([{"text": "of acme"}]));
        assert_eq!(p.notes("globex").await, json!([{"text": "of globex"}]));
    }
    assert_eq!((p.pools.open(), p.pools.idle()), (1, 1), "they share one connection");
    let who = "SELECT current_setting('leasehold.tenant') AS t, current_schemas(false)::text AS s";
    assert_eq!(json!(p.run("acme", who, &[]).await.unwrap().rows), json!([{"t": "acme", "s": "{acme}"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_handler_sets_reaches_the_next_tenant() {
    let p = Platform::new().await;
    let leaks = [
        "SET search_path = acme",
        "SET leasehold.tenant = 'acme'",
        "SET statement_timeout = 54321",
        "SET application_name = 'of acme'",
        "CREATE TEMP TABLE secret AS SELECT 'of acme' AS text",
        "CREATE TEMP TABLE note AS SELECT 1 AS id, 'of acme' AS text",
        "SELECT pg_advisory_lock(7)",
        "LISTEN acme",
        "DECLARE secret CURSOR WITH HOLD FOR SELECT text FROM note",
        "SET default_transaction_read_only = on",
        "CREATE ROLE leaked; SET ROLE leaked",
    ];
    for commit in [true, false] {
        let mut tx = p.pools.postgres(&p.place("acme"), None).await.unwrap();
        for leak in leaks {
            if commit || !leak.starts_with("CREATE ROLE") {
                tx.execute(leak).await.unwrap();
            }
        }
        if commit {
            tx.commit().await.unwrap()
        } else {
            tx.rollback().await.unwrap()
        }

        let mut tx = p.pools.postgres(&p.place("globex"), None).await.unwrap();
        let seen: String = sqlx::query_scalar(
            "SELECT concat_ws(' ', current_schemas(false)::text, current_setting('leasehold.tenant'),
                current_setting('statement_timeout'), current_setting('application_name'), to_regclass('secret')::text,
                to_regclass('note')::regclass::text, current_user = session_user,
                current_setting('default_transaction_read_only'), (SELECT count(*) FROM pg_cursors WHERE name = 'secret'),
                (SELECT count(*) FROM pg_listening_channels()),
                (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()))",
        )
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        assert_eq!(seen, "{globex} globex 0 leasehold-executor note t off 0 0 0");
        tx.rollback().await.unwrap();
        assert_eq!(p.notes("globex").await, json!([{"text": "of globex"}]));
    }
    p.admin().await.execute("DROP ROLE leaked").await.unwrap();
    assert_eq!(p.pools.open(), 1);
}

/// The same statement text meets other tables: what was prepared for one tenant must not answer for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_prepared_for_one_tenant_is_not_used_for_another() {
    let p = Platform::new().await;
    p.admin().await.execute("ALTER TABLE globex.note ADD COLUMN extra int").await.unwrap();
    for tenant in ["acme", "globex", "acme"] {
        let mut tx = p.pools.postgres(&p.place(tenant), None).await.unwrap();
        let row = sqlx::query("SELECT * FROM note").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(sqlx::Row::get::<String, _>(&row, 1), format!("of {tenant}"));
        tx.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_one_transaction() {
    let p = Platform::new().await;
    let statements = [
        TenantStatement { sql: "INSERT INTO note VALUES ($1, $2)", params: vec![Param::Int(2), text("new")] },
        TenantStatement { sql: "INSERT INTO note VALUES ($1, $2)", params: vec![Param::Int(1), text("again")] },
    ];
    let error = p.pools.run(&p.place("acme"), &statements, MINUTE).await.unwrap_err();
    assert!(!error.retry && error.message.starts_with("statement 2: duplicate key"), "{error}");
    assert_eq!(p.notes("acme").await, json!([{"text": "of acme"}]), "the first is undone too");
    let done = p.pools.run(&p.place("acme"), &statements[..1], MINUTE).await.unwrap();
    assert_eq!(json!(done), json!([{"rows_affected": 1}]));
    let done = p.run("acme", "DELETE FROM note RETURNING id", &[]).await.unwrap();
    assert_eq!(json!(done), json!({"rows_affected": 2, "rows": [{"id": 1}, {"id": 2}]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_bound_and_hostile_ones_are_values() {
    let p = Platform::new().await;
    for hostile in ["'; DROP TABLE note; --", "$1", "\"", "{{ tenant.id }}", "ünïcödé ☃", "</script>", "../../etc"]
    {
        let done = p.run("acme", "SELECT $1 AS v", &[text(hostile)]).await.unwrap();
        assert_eq!(json!(done.rows), json!([{ "v": hostile }]));
    }
    assert_eq!(p.notes("acme").await, json!([{"text": "of acme"}]));
    let params = [
        text("2026-11-21T02:00:00Z"),
        Param::Int(1),
        Param::Float(0.5),
        Param::Bool(true),
        Param::Null,
        text(r#"{"a": [1]}"#),
    ];
    let sql = "SELECT $1::timestamptz AS at, $2::int + $3 AS sum, $4 AS yes, $5::text AS none, $6::jsonb -> 'a' AS a,
                      12.50::numeric AS price, sum(n) AS total FROM generate_series(1, 3) AS n";
    let expected = json!([{"at": "2026-11-21T02:00:00Z", "sum": 1.5, "yes": true, "none": null, "a": [1],
                           "price": "12.50", "total": 6}]);
    assert_eq!(json!(p.run("acme", sql, &params).await.unwrap().rows), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_schema_is_one_name_or_refused() {
    let p = Platform::new().await;
    let long = "a".repeat(64);
    for (schema, retry) in [
        ("acme, globex", true),
        ("acme\", \"globex", true),
        ("globex\"; SET search_path = globex; --", true),
        ("ACME", true),
        ("пример", true),
        ("$user", false),
        ("pg_temp", false),
        ("PG_CATALOG", false),
        ("information_schema", false),
        ("", false),
        ("a\0b", false),
        (long.as_str(), false),
    ] {
        let place = Place { schema: Some(schema.to_owned()), ..p.place("acme") };
        let statement = TenantStatement { sql: "SELECT text FROM note", params: Vec::new() };
        let error = p.pools.run(&place, &[statement], MINUTE).await.unwrap_err();
        assert_eq!(error.retry, retry, "{schema:?}: {error}");
        assert!(error.message.contains("tenant acme"), "{error}");
    }
    // A schema with such a name is a schema like any other.
    let hostile = "acme\", \"globex";
    p.admin().await.execute("CREATE SCHEMA \"acme\"\", \"\"globex\"; CREATE TABLE \"acme\"\", \"\"globex\".note AS SELECT 'odd' AS text").await.unwrap();
    let place = Place { schema: Some(hostile.to_owned()), ..p.place("acme") };
    let statement = TenantStatement { sql: "SELECT text FROM note", params: Vec::new() };
    assert_eq!(json!(p.pools.run(&place, &[statement], MINUTE).await.unwrap()[0].rows), json!([{"text": "odd"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_whether_another_attempt_may_help_and_no_password() {
    let p = Platform::new().await;
    for (sql, retry) in [
        ("SELEC 1", false),
        ("SELECT * FROM nowhere", false),
        ("INSERT INTO note VALUES (1, 'again')", false),
        ("SELECT 1 / 0", false),
        ("SELECT 1; SELECT 2", false),
    ] {
        let error = p.run("acme", sql, &[]).await.unwrap_err();
        assert_eq!(error.retry, retry, "{sql}: {error}");
    }
    let at = |url: &str| Place { url: url.to_owned(), password: Some("hunter2".to_owned()), ..p.place("acme") };
    let statement = || TenantStatement { sql: "SELECT 1", params: Vec::new() };
    for (url, retry) in [
        ("postgres://u:hunter2@127.0.0.1:1/x", true),
        ("mysql://u:hunter2@127.0.0.1/x", false),
        ("postgres://u:hunter2@127.0.0.1:port/x", false),
        ("postgres://u:hunter2@127.0.0.1/x?sslmod=off", false),
    ] {
        let error = p.pools.run(&at(url), &[statement()], MINUTE).await.unwrap_err();
        assert_eq!(error.retry, retry, "{url}: {error}");
        assert!(!error.message.contains("hunter2"), "{error}");
    }
    assert!(p.pools.open() <= 1, "what could not be opened holds no place");
    assert_eq!(p.notes("acme").await, json!([{"text": "of acme"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_ends_with_its_time_and_with_its_run() {
    let p = Platform::new().await;
    let sleep = || [TenantStatement { sql: "SELECT pg_sleep(600)", params: Vec::new() }];
    let error = p.pools.run(&p.place("acme"), &sleep(), Duration::from_millis(50)).await.unwrap_err();
    assert!(error.retry && error.message.contains("57014"), "{error}");

    // A run that is given up: the server hears of it long before the statement's time is over.
    let (pools, place) = (p.pools.clone(), p.place("acme"));
    let run = tokio::spawn(async move {
        let sleep = TenantStatement { sql: "SELECT pg_sleep(600)", params: Vec::new() };
        pools.run(&place, &[sleep], 10 * MINUTE).await
    });
    until("the statement runs", || async { if p.busy().await == 1 { Ok(()) } else { Err("not yet") } }).await;
    run.abort();
    until("the statement ends", || async { if p.busy().await == 0 { Ok(()) } else { Err("it runs") } }).await;
    assert_eq!(p.notes("globex").await, json!([{"text": "of globex"}]), "and its place is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_dropped_is_undone() {
    let p = Platform::new().await;
    let mut tx = p.pools.postgres(&p.place("acme"), None).await.unwrap();
    tx.execute("DELETE FROM note").await.unwrap();
    drop(tx);
    assert_eq!(p.notes("acme").await, json!([{"text": "of acme"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_in_total_and_for_each_tenant() {
    let p = Platform::with(PoolOptions { total: 3, per_tenant: 2, idle: MINUTE }).await;
    let begin = |tenant: &str| {
        let (pools, place) = (p.pools.clone(), p.place(tenant));
        tokio::spawn(async move { pools.postgres(&place, None).await.unwrap() })
    };
    let (a, b) = (begin("acme").await.unwrap(), begin("acme").await.unwrap());
    let mut third = begin("acme");
    // There is room for it in all, and none for acme: it waits, however long it is given.
    let early = tokio::time::timeout(Duration::from_millis(300), &mut third).await;
    assert!(early.is_err(), "acme has its share");
    let other = begin("globex").await.unwrap();
    assert_eq!(p.pools.open(), 3);
    let full = begin("globex");
    a.commit().await.unwrap();
    // What became free is acme's and globex's to have; both want it.
    let (third, full) = (third, full);
    b.commit().await.unwrap();
    third.await.unwrap().commit().await.unwrap();
    full.await.unwrap().commit().await.unwrap();
    other.commit().await.unwrap();
    assert!(p.pools.open() <= 3);
    assert_eq!(p.pools.open(), p.pools.idle());

    // Another database takes the place of one that is idle.
    let q = Platform::new().await;
    let elsewhere = Place { url: q.url.clone(), ..p.place("acme") };
    let one = || TenantStatement { sql: "SELECT 1", params: Vec::new() };
    for _ in 0..2 {
        p.pools.run(&elsewhere, &[one()], MINUTE).await.unwrap();
        p.pools.run(&p.place("acme"), &[one()], MINUTE).await.unwrap();
    }
    assert_eq!(p.pools.open(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed() {
    let p = Platform::with(PoolOptions { idle: Duration::from_millis(50), ..PoolOptions::default() }).await;
    p.notes("acme").await;
    until("the idle connection is closed", || async { if p.pools.open() == 0 { Ok(()) } else { Err(p.pools.open()) } })
        .await;
    assert_eq!(p.notes("acme").await, json!([{"text": "of acme"}]));
}
