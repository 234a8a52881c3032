//! Roles and row-level security on PostgreSQL: each login does its own work and nothing else, and what is done for one
//! tenant sees and changes the rows of that tenant alone, whatever the statement says. No check here is made as a
//! superuser: an administrator makes the databases and the logins.
#![expect(clippy::unwrap_used, reason = "tests")]

use leasehold_common::run::RunState;
use leasehold_common::store::{Applied, Cancelled, ErrorKind, RunFilter, SharedStore, Verdict, for_tenant};
use leasehold_store::Options;
use leasehold_tests::roles::{ROLES, login, login_url, store_as};
use leasehold_tests::server::{Postgres, Server};
use leasehold_tests::steps::*;
use leasehold_tests::stores::{Fixture, postgres_database};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A catalog of two tenants in a store of logins.
async fn two_tenants() -> Fixture {
    let f = Fixture::postgres_by_role().await.at_five_past().await;
    f.apply(&[every("acme/a", HOUR), hourly("acme/b"), every("globex/a", HOUR), hourly("globex/b")]).await;
    f
}

/// A connection with the rights of whoever acts for `tenant`, outside of any transaction.
async fn acting_for(f: &Fixture, tenant: &str) -> PgConnection {
    let mut connection = PgConnection::connect(&login(&f.url, "leasehold_scheduler").await).await.unwrap();
    connection.execute("SET ROLE leasehold_tenant").await.unwrap();
    sqlx::query("SELECT set_config('leasehold.tenant', $1, false)")
        .bind(tenant)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

async fn count(connection: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(connection).await.unwrap()
}

/// What a statement is refused with; `None` if it is not.
async fn refused(connection: &mut PgConnection, statement: &str) -> Option<String> {
    match connection.execute(AssertSqlSafe(statement.to_owned())).await {
        Ok(_) => None,
        Err(error) => Some(error.as_database_error().unwrap().code().unwrap().into_owned()),
    }
}

async fn admin(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// The tables under row-level security.
const OF_TENANTS: [&str; 11] =
    ["tenant", "job", "job_version", "definition", "ahead", "ready", "running", "report", "share", "enqueued", "once"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_run_needs_no_more_than_the_roles_have() {
    let f = two_tenants().await;
    f.store.check_schema().await.unwrap();
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, MINUTE).await;
    f.activate().await;
    let held = f.claim(10).await;
    assert_eq!(held.items().len(), 4);
    f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap();
    f.settle_one(held.report(0, Verdict::Succeeded)).await;
    f.settle_one(held.report(1, Verdict::Dead)).await;
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (2, 0));
    f.sweep(&term).await;
    assert!(f.store.reports(0, &RunFilter::default(), 100).await.unwrap().0.len() >= 4);
    f.store.status().await.unwrap();
    f.apply(&[every("acme/a", HOUR)]).await;
    f.advance(FOR_EVER).await;
    let term = f.elect().await;
    f.store.prune(&term, MINUTE, 1_000).await.unwrap();
    f.store.resign(&term).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_login_is_refused_what_is_not_its_business() {
    let f = two_tenants().await;
    let denied = Some("42501".to_owned());
    for (role, statements) in [
        (
            "leasehold_executor",
            [
                "DELETE FROM leasehold.report",
                "UPDATE leasehold.report SET error = 'x'",
                "UPDATE leasehold.lease SET epoch = epoch + 1",
                "SELECT * FROM leasehold.config",
                "INSERT INTO leasehold.definition VALUES (gen_random_uuid(), '{}')",
                "UPDATE leasehold.job SET definition_id = gen_random_uuid()",
                "DELETE FROM leasehold.job",
                "UPDATE leasehold.tenant SET attributes = '{}'",
                "UPDATE leasehold.catalog SET revision = 0",
                "SET ROLE leasehold_tenant",
                "SET ROLE leasehold_scheduler",
                "DROP TABLE leasehold.report",
                "ALTER TABLE leasehold.report DISABLE ROW LEVEL SECURITY",
                "CREATE TABLE leasehold.mine (x int)",
            ]
            .as_slice(),
        ),
        (
            "leasehold_scheduler",
            &[
                "UPDATE leasehold.report SET error = 'x'",
                "INSERT INTO leasehold.executor SELECT * FROM leasehold.executor",
                "INSERT INTO leasehold.claim VALUES (gen_random_uuid(), gen_random_uuid(), 0)",
                "DELETE FROM leasehold.lease",
                "INSERT INTO leasehold.migration SELECT * FROM leasehold.migration",
                "DROP TABLE leasehold.report",
                "DROP POLICY tenant ON leasehold.report",
                "SELECT leasehold.set_up_roles()",
                "CREATE TABLE leasehold.mine (x int)",
            ],
        ),
        (
            "leasehold_viewer",
            &[
                "DELETE FROM leasehold.report",
                "UPDATE leasehold.running SET cancel = true",
                "INSERT INTO leasehold.ahead SELECT * FROM leasehold.ahead",
                "UPDATE leasehold.job SET paused_until = 0",
                "UPDATE leasehold.lease SET epoch = 0",
                "SELECT body FROM leasehold.config",
                "SET ROLE leasehold_tenant",
                "SELECT leasehold.set_up_roles()",
            ],
        ),
    ] {
        let mut connection = admin(&login(&f.url, role).await).await;
        for statement in statements {
            assert_eq!(refused(&mut connection, statement).await, denied, "{role}: {statement}");
        }
        for table in ["job", "tenant"] {
            assert!(count(&mut connection, &format!("SELECT count(*) FROM leasehold.{table}")).await > 1, "{role}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_can_look_at_everything_that_people_look_at() {
    let f = two_tenants().await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, MINUTE).await;
    f.activate().await;
    let held = f.claim(1).await;
    f.settle_one(held.report(0, Verdict::Succeeded)).await;
    let viewer = store_as(&f.url, "leasehold_viewer").await;
    viewer.check_schema().await.unwrap();
    assert_eq!(viewer.status().await.unwrap().catalog.tenants, 2);
    assert_eq!(viewer.tenants(None, 10).await.unwrap().len(), 2);
    assert_eq!(viewer.jobs(None, None, 10).await.unwrap().len(), 4);
    assert!(!viewer.runs(&RunFilter::default(), 10).await.unwrap().is_empty());
    let (reports, _) = viewer.reports(0, &RunFilter::default(), 10).await.unwrap();
    viewer.last_seq().await.unwrap();
    assert!(viewer.run(reports[0].correlation_id).await.unwrap().is_some());
    let (tenant, job) = path("acme/b");
    let now = f.now().await;
    assert!(viewer.history(&tenant, &job, now - HOUR, now).await.unwrap().is_some());
    assert_eq!(viewer.job_versions(&tenant, &job).await.unwrap().len(), 1);
    viewer.queues().await.unwrap();
    viewer.sources().await.unwrap();
    let error = viewer.trigger(&tenant, &job, false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    // A viewer that names a tenant is no tenant: it still only reads.
    let of_tenant = for_tenant(&viewer, &tenant);
    assert_eq!(of_tenant.jobs(Some(&tenant), None, 10).await.unwrap().len(), 2);
    of_tenant.trigger(&tenant, &job, false).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_for_a_tenant_reaches_that_tenant_alone() {
    let f = two_tenants().await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, MINUTE).await;
    f.activate().await;
    let held = f.claim(10).await;
    f.settle_one(held.report(0, Verdict::Succeeded)).await;
    f.settle_one(held.report(1, Verdict::Retry(HOUR))).await;
    let everything = RunFilter::default();
    for (name, other) in [("acme", "globex"), ("globex", "acme")] {
        let (tenant, mine) = path(&format!("{name}/b"));
        let (stranger, _) = path(&format!("{other}/b"));
        let store = for_tenant(&f.store, &tenant);

        // Asked for everybody's, it answers with the tenant's.
        let tenants = store.tenants(None, 10).await.unwrap();
        assert_eq!(tenants.iter().map(|t| t.tenant.id.as_str()).collect::<Vec<_>>(), [name]);
        assert!(store.jobs(None, None, 10).await.unwrap().iter().all(|job| job.tenant == tenant));
        assert_eq!(store.jobs(None, None, 10).await.unwrap().len(), 2);
        assert!(store.jobs(Some(&stranger), None, 10).await.unwrap().is_empty());
        let runs = store.runs(&everything, 100).await.unwrap();
        assert!(!runs.is_empty() && runs.iter().all(|run| run.tenant == tenant));
        assert!(store.reports(0, &everything, 100).await.unwrap().0.iter().all(|report| report.tenant == tenant));
        store.last_seq().await.unwrap();
        assert!(store.job_versions(&stranger, &mine).await.unwrap().is_empty());
        assert_eq!(store.job_versions(&tenant, &mine).await.unwrap().len(), 1);
        let now = f.now().await;
        assert!(store.history(&stranger, &mine, now - HOUR, now).await.unwrap().is_none());
        assert!(store.history(&tenant, &mine, now - HOUR, now).await.unwrap().is_some());
        assert!(store.status().await.unwrap().catalog.tenants == 2, "what belongs to no tenant is as before");

        // And it changes nothing of anybody else's.
        let theirs: Vec<_> = f.store.jobs(Some(&stranger), None, 10).await.unwrap().iter().map(|j| j.key).collect();
        assert_eq!(store.pause(&theirs, "not mine", None).await.unwrap(), 0);
        assert_eq!(store.trigger(&stranger, &mine, false).await.unwrap(), None);
        assert_eq!(store.backfill(theirs[0], &[now - HOUR], MINUTE).await.unwrap(), None);
        let running = f.live(&format!("{other}/a")).await.into_iter().chain(f.live(&format!("{other}/b")).await);
        for run in running {
            assert!(store.run(run.correlation_id).await.unwrap().is_none());
            assert_eq!(store.cancel(run.correlation_id).await.unwrap(), Cancelled::NotFound);
        }

        // Its own it can do all of that with.
        let keys: Vec<_> = store.jobs(None, None, 10).await.unwrap().iter().map(|j| j.key).collect();
        assert_eq!(store.pause(&keys, "mine", None).await.unwrap(), 2);
        assert_eq!(store.resume(&keys).await.unwrap(), 2);
        let id = store.trigger(&tenant, &mine, true).await.unwrap().unwrap();
        assert_eq!(store.run(id).await.unwrap().unwrap().run.state, RunState::Waiting);
        assert_eq!(store.cancel(id).await.unwrap(), Cancelled::Ended);
        assert_eq!(store.backfill(keys[0], &[now - HOUR], MINUTE).await.unwrap(), Some(1));
        for run in store.runs(&everything, 100).await.unwrap() {
            if run.state != RunState::Ended {
                assert_ne!(store.cancel(run.correlation_id).await.unwrap(), Cancelled::NotFound, "{run:?}");
            }
        }
    }
    // What was asked for as a tenant is gone from the connections: the leader sees everybody again.
    assert_eq!(f.store.tenants(None, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_for_a_tenant_is_claimed_like_any_other() {
    let f = two_tenants().await;
    let (tenant, job) = path("acme/b");
    let id = for_tenant(&f.store, &tenant).trigger(&tenant, &job, false).await.unwrap().unwrap();
    f.activate().await;
    let held = f.claim(10).await;
    assert_eq!(held.ids(), [id]);
    f.settle_one(held.report(0, Verdict::Succeeded)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_of_a_tenant_meet_no_rows_of_others() {
    let f = two_tenants().await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, MINUTE).await;
    f.activate().await;
    let held = f.claim(2).await;
    f.settle_one(held.report(0, Verdict::Retry(MINUTE))).await;
    f.settle_one(held.report(1, Verdict::Succeeded)).await;
    f.fan_out(&term, 2 * HOUR).await;
    f.execute("SELECT leasehold.enqueue('globex', 'b', NULL, '{\"delay\": \"1 day\"}')").await;
    f.execute(
        "INSERT INTO leasehold.once (job_key, scope, name, tenant_id, run_id, attempt, begun_at)
         SELECT key, 's', 'n', tenant_id, gen_random_uuid(), 1, 0 FROM leasehold.job",
    )
    .await;

    let mut acme = acting_for(&f, "acme").await;
    for table in OF_TENANTS {
        let all = f.number(&format!("SELECT count(*) FROM leasehold.{table}")).await;
        let seen = count(&mut acme, &format!("SELECT count(*) FROM leasehold.{table}")).await;
        assert!(seen <= all, "{table}");
        let column = match table {
            "tenant" => "id",
            "job_version" | "definition" => continue,
            _ => "tenant_id",
        };
        let others = format!("SELECT count(*) FROM leasehold.{table} WHERE {column} <> 'acme' OR {column} IS NULL");
        assert_eq!(count(&mut acme, &others).await, 0, "{table}");
        assert!(f.number(&others).await > 0 || table == "running" || table == "report", "{table} has rows of others");
    }
    assert_eq!(count(&mut acme, "SELECT count(*) FROM leasehold.job_version").await, 2);
    assert_eq!(
        count(&mut acme, "SELECT count(*) FROM leasehold.definition").await,
        f.number("SELECT count(DISTINCT definition_id) FROM leasehold.job WHERE tenant_id = 'acme'").await
    );

    let theirs = f.number("SELECT key FROM leasehold.job WHERE tenant_id = 'globex' LIMIT 1").await;
    let before = f.number("SELECT count(*) FROM leasehold.ahead WHERE tenant_id = 'globex'").await;
    assert!(before > 0);
    assert_eq!(refused(&mut acme, "DELETE FROM leasehold.ahead").await, None);
    assert_eq!(f.number("SELECT count(*) FROM leasehold.ahead WHERE tenant_id = 'globex'").await, before);
    assert_eq!(f.number("SELECT count(*) FROM leasehold.ahead WHERE tenant_id = 'acme'").await, 0);
    refused(&mut acme, "UPDATE leasehold.running SET cancel = true").await;
    assert_eq!(f.number("SELECT count(*) FROM leasehold.running WHERE cancel AND tenant_id <> 'acme'").await, 0);

    let queue = |tenant: &str, key: i64| {
        format!(
            "INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                          released, max_attempts, version)
             VALUES ({key}, gen_random_uuid(), '{tenant}', 'default', 0, 0, 1, 0, 0, 1, 0, 0, 1, 1)"
        )
    };
    let mine = f.number("SELECT key FROM leasehold.job WHERE tenant_id = 'acme' LIMIT 1").await;
    let denied = Some("42501".to_owned());
    for statement in [
        queue("globex", theirs),
        queue("acme", theirs), // somebody else's job in one's own name
        queue("globex", mine),
        "UPDATE leasehold.job SET tenant_id = 'globex'".to_owned(),
        "UPDATE leasehold.job SET gates = NULL, queue = 'fast', prio = -5".to_owned(),
        "UPDATE leasehold.tenant SET weight = 1000".to_owned(),
        "INSERT INTO leasehold.share SELECT * FROM leasehold.share".to_owned(),
        "SELECT * FROM leasehold.config".to_owned(),
        "SELECT * FROM leasehold.lease".to_owned(),
        "SELECT * FROM leasehold.executor".to_owned(),
        "SELECT * FROM leasehold.claim".to_owned(),
        "SELECT * FROM leasehold.gate".to_owned(),
        "TRUNCATE leasehold.ahead".to_owned(),
        "ALTER TABLE leasehold.ahead DISABLE ROW LEVEL SECURITY".to_owned(),
        "SET row_security = off; SELECT * FROM leasehold.job".to_owned(),
    ] {
        assert_eq!(refused(&mut acme, &statement).await, denied, "{statement}");
    }
    assert_eq!(refused(&mut acme, &queue("acme", mine)).await, None, "its own job it may queue");

    // A name that is no tenant's, or none, sees nothing at all.
    for name in ["", "acme' OR 'a' = 'a", "ACME", "%", "acme,globex"] {
        let mut nobody = acting_for(&f, name).await;
        for table in OF_TENANTS {
            let query = format!("SELECT count(*) FROM leasehold.{table}");
            assert_eq!(count(&mut nobody, &query).await, 0, "{table} as {name:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_level_security_is_forced_and_everybody_else_sees_nothing() {
    let f = two_tenants().await;
    for table in OF_TENANTS {
        let forced = format!(
            "SELECT count(*) FROM pg_class WHERE oid = 'leasehold.{table}'::regclass AND relrowsecurity AND relforcerowsecurity"
        );
        assert_eq!(f.number(&forced).await, 1, "{table}");
    }
    // A table with rows of tenants that a later migration adds must not be forgotten.
    let open = "SELECT count(*) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
                WHERE c.relnamespace = 'leasehold'::regnamespace AND c.relkind = 'r' AND a.attname IN ('tenant_id', 'job_key')
                  AND NOT c.relforcerowsecurity";
    assert_eq!(f.number(open).await, 0);

    let mut admin = admin(&f.url).await;
    admin.execute("CREATE ROLE by_hand LOGIN").await.unwrap();
    admin.execute("GRANT USAGE ON SCHEMA leasehold TO by_hand").await.unwrap();
    admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA leasehold TO by_hand").await.unwrap();
    let store = leasehold_store::open(&login_url(&f.url, "by_hand"), &Options::default()).await.unwrap();
    assert!(store.jobs(None, None, 10).await.unwrap().is_empty());
    let error = store.check_schema().await.unwrap_err().to_string();
    assert!(error.contains("by_hand") && error.contains("GRANT leasehold_scheduler"), "it says why: {error}");
    store.close().await;
    admin.execute("DROP OWNED BY by_hand").await.unwrap();
    admin.execute("DROP ROLE by_hand").await.unwrap();
}

/// A server without Leasehold's roles, and the owner of a database on it, who may make no roles.
async fn owner_of(server: &Server, name: &str) -> (String, String) {
    let url = postgres_database(server).await;
    let mut admin = admin(&url).await;
    let database: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut admin).await.unwrap();
    for statement in [format!("CREATE ROLE {name} LOGIN"), format!("ALTER DATABASE {database} OWNER TO {name}")] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    (login_url(&url, name), url)
}

async fn migrated(url: &str) -> SharedStore {
    let store = leasehold_store::open(url, &Options::default()).await.unwrap();
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    store
}

async fn works(store: &SharedStore) {
    let stored = store.snapshot().await.unwrap();
    let plan =
        leasehold_common::catalog::plan(&desired(&[hourly("acme/a"), hourly("globex/a")]), &stored, |_| None).unwrap();
    assert!(matches!(store.apply(&plan, None).await.unwrap(), Applied::Done { .. }));
    let (tenant, job) = path("acme/a");
    let of_tenant = for_tenant(store, &tenant);
    assert!(of_tenant.trigger(&tenant, &job, false).await.unwrap().is_some());
    assert_eq!(of_tenant.jobs(Some(&tenant), None, 10).await.unwrap().len(), 1);
    assert_eq!(store.jobs(None, None, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_make_no_roles_migrates_all_the_same_and_an_administrator_adds_them_later() {
    let server = Postgres::default().start();
    let (owner, url) = owner_of(&server, "app").await;
    let store = migrated(&owner).await;
    works(&store).await;
    let mut admin = admin(&url).await;
    assert_eq!(count(&mut admin, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'leasehold\\_%'").await, 0);
    assert_eq!(count(&mut admin, "SELECT count(*) FROM pg_policy").await, 0);

    admin.execute("SELECT leasehold.set_up_roles()").await.unwrap();
    admin.execute("SELECT leasehold.set_up_roles()").await.unwrap();
    assert_eq!(count(&mut admin, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'leasehold\\_%'").await, 6);
    let scheduler = store_as(&url, "leasehold_scheduler").await;
    assert_eq!(scheduler.jobs(None, None, 10).await.unwrap().len(), 2);
    let (tenant, _) = path("globex/a");
    assert_eq!(for_tenant(&scheduler, &tenant).jobs(None, None, 10).await.unwrap().len(), 1);

    // A second database, whose owner finds the roles there and keeps its schema.
    let (second, url) = owner_of(&server, "other_app").await;
    let store = migrated(&second).await;
    works(&store).await;
    store.migrate().await.unwrap();
    let mut admin = self::admin(&url).await;
    assert_eq!(count(&mut admin, "SELECT count(*) FROM pg_policy WHERE polname = 'other_app'").await, 14);
    let viewer = store_as(&url, "leasehold_viewer").await;
    assert_eq!(viewer.jobs(None, None, 10).await.unwrap().len(), 2);
    let scheduler = store_as(&url, "leasehold_scheduler").await;
    assert_eq!(for_tenant(&scheduler, &tenant).jobs(None, None, 10).await.unwrap().len(), 1);
}

/// A login that may make roles (and nothing else) makes them, gives the schema away and goes on working with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_make_roles_makes_them_and_gives_the_schema_to_the_migrator() {
    let server = Postgres::default().start();
    let (owner, url) = owner_of(&server, "app").await;
    let mut admin = admin(&url).await;
    admin.execute("ALTER ROLE app CREATEROLE").await.unwrap();
    let store = migrated(&owner).await;
    works(&store).await;
    assert_eq!(store.migrate().await.unwrap(), 0);
    let owned = "SELECT count(*) FROM pg_class WHERE relnamespace = 'leasehold'::regnamespace AND relkind = 'r'
                 AND relowner <> 'leasehold_migrator'::regrole";
    assert_eq!(count(&mut admin, owned).await, 0);
    for role in ROLES {
        store_as(&url, role).await.check_schema().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migrator_migrates_a_new_database_that_it_may_use() {
    let f = Fixture::postgres().await; // which makes the roles
    let url = postgres_database(leasehold_tests::server::postgres()).await;
    let migrator = login(&url, "leasehold_migrator").await;
    let store = leasehold_store::open(&migrator, &Options::default()).await.unwrap();
    store.migrate().await.unwrap_err();
    let mut admin = admin(&url).await;
    let database: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut admin).await.unwrap();
    let grant = format!("GRANT CREATE ON DATABASE {database} TO leasehold_migrator");
    admin.execute(AssertSqlSafe(grant)).await.unwrap();
    assert!(store.migrate().await.unwrap() > 0);
    let others =
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'leasehold'::regnamespace AND relkind IN ('r', 'S')
                  AND relowner <> 'leasehold_migrator'::regrole";
    assert_eq!(count(&mut admin, others).await, 0);
    works(&store_as(&url, "leasehold_scheduler").await).await;
    drop(f);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_may_only_enqueue_can_do_nothing_else() {
    let f = two_tenants().await;
    let mut app = PgConnection::connect(&login(&f.url, "leasehold_enqueuer").await).await.unwrap();
    // A search path of its own leads the function nowhere.
    app.execute("SET search_path = pg_temp, public").await.unwrap();
    app.execute("CREATE TEMP TABLE job (key bigint, tenant_id text, name text)").await.unwrap();
    assert_eq!(
        refused(&mut app, "SELECT leasehold.enqueue('acme', 'b', '{\"n\": 1}', '{\"key\": \"k\"}')").await,
        None
    );
    for statement in [
        "SELECT * FROM leasehold.enqueued",
        "SELECT * FROM leasehold.once",
        "SELECT * FROM leasehold.job",
        "SELECT * FROM leasehold.report",
        "DELETE FROM leasehold.ahead",
        "INSERT INTO leasehold.enqueued VALUES (1, gen_random_uuid(), 'acme', NULL, NULL, 0)",
        "SELECT leasehold.set_up_roles()",
    ] {
        assert_eq!(refused(&mut app, statement).await.as_deref(), Some("42501"), "{statement}");
    }
    assert_eq!(f.claim(5).await.only().tenant.as_str(), "acme");
    for role in ["leasehold_executor", "leasehold_viewer"] {
        let mut other = PgConnection::connect(&login(&f.url, role).await).await.unwrap();
        let enqueue = "SELECT leasehold.enqueue('acme', 'b')";
        assert_eq!(refused(&mut other, enqueue).await.as_deref(), Some("42501"), "{role}");
    }
    let mut owner = admin(&f.url).await;
    let query = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'leasehold'::regnamespace AND prosecdef
                 AND NOT (pg_get_userbyid(proowner) = 'leasehold_migrator' AND proconfig IS NOT NULL)";
    assert_eq!(count(&mut owner, query).await, 0, "no function has the rights of whoever happened to migrate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acts_for_a_tenant_enqueues_for_that_tenant_alone() {
    let f = two_tenants().await;
    let mut acme = acting_for(&f, "acme").await;
    assert_eq!(refused(&mut acme, "SELECT leasehold.enqueue('acme', 'b')").await, None);
    assert_eq!(refused(&mut acme, "SELECT leasehold.enqueue('globex', 'b')").await.as_deref(), Some("42501"));
    let mut globex = acting_for(&f, "globex").await;
    assert_eq!(refused(&mut globex, "SELECT leasehold.enqueue('globex', 'b')").await, None);
    assert_eq!(count(&mut globex, "SELECT count(id) FROM leasehold.enqueued").await, 1, "nor are those of others seen");
    assert_eq!(f.claim(5).await.items().len(), 2);
}
