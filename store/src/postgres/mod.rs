//! The store for fleets: PostgreSQL 14 or later, in the schema `leasehold`.
//!
//! Nearly every transition is one autocommit statement, so there is no transaction that a stalled client could leave
//! open, and cancelling a future never leaves one half done. READ COMMITTED throughout: what must not race is decided
//! by a row lock, a unique index or a compare-and-set inside the statement; the files under `sql/postgres` say which.
//! Locks are taken in one order everywhere: lease; ready and ahead (skipping what others have); claim; gates by their
//! ids; running; job; and the order of reports last. Lanes and shares, in the order of their keys, come after ready and
//! ahead, and nobody who has them waits for anything else.
//!
//! A handle of one tenant ([`Store::narrowed`]) runs what it does under row-level security: see [`scope`].
//!
//! Three pools, opened on demand: `work` for the queue, with planner settings that keep its plans on their indexes;
//! `vital` for leases and heartbeats, so that busy work never costs leadership (two connections); `view` for people.

/// The text of a statement file of this dialect.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../sql/postgres/", $name, ".sql"))
    };
}

mod breakers;
mod callbacks;
mod catalog;
mod dead;
mod gates;
mod hooks;
mod lease;
mod once;
mod queue;
mod roster;
mod rows;
mod runs;
mod schedules;
mod scope;
mod shares;

pub use once::enqueue_on_postgres;

use std::future::Future;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use leasehold_common::id::TenantId;
use leasehold_common::lease::{Leader, LeaseKind};
use leasehold_common::store::{
    Breakers as _, CatalogView, ErrorKind, ExecutorView, Hint, Hints, Hooks as _, QueueView, Roster as _, SharedStore,
    Status, Store, StoreError, StoreResult,
};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _};

use self::scope::Scoped;
use crate::{Options, migrations};

/// The channel of `sql/postgres/queue/hint.sql`.
const CHANNEL: &str = "leasehold_work";

/// How long an executor stays in the status after it was last heard of.
const EXECUTOR_SEEN_US: i64 = 60_000_000;

/// A statement that lost against another one is repeated so often before the caller learns of it.
const CONFLICT_TRIES: u32 = 5;

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call of a fleet may take: longer than any lock is waited for, and shorter than a claim lasts by default.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection that was given back may take to show that it lives.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long closing may take: a connection that is dead need not hear of it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// No lock of ours is held for long: waiting longer means that somebody is stuck. A client that stalls inside a
/// transaction is cut off well before a lease runs out.
const SESSION: &str = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '5s'";

/// A plan that was made while the queue was empty keeps sequential scans and nested loops for ever; the queue's
/// statements are written so that these settings leave only good plans. `jit` off because the penalties make plans
/// look expensive.
const QUEUE_PLANS: &str =
    "SET enable_seqscan = off; SET enable_nestloop = off; SET enable_mergejoin = off; SET jit = off";

/// Whether this login migrates as `leasehold_migrator`, so that what it makes is that role's and not its own: it may take
/// the role, and the schema is the role's already or may be made by it.
const MAY_MIGRATE: &str = "SELECT EXISTS (
    SELECT 1 FROM pg_roles AS r LEFT JOIN pg_namespace AS n ON n.nspname = 'leasehold'
    WHERE r.rolname = 'leasehold_migrator'
      AND CASE WHEN current_setting('server_version_num')::integer < 160000 THEN pg_has_role(r.oid, 'MEMBER')
               ELSE pg_has_role(r.oid, 'SET') END
      AND has_database_privilege(r.oid, current_database(), 'CREATE') AND coalesce(n.nspowner = r.oid, true))";

/// Who this login is, if row-level security hides all rows from it.
const BLIND: &str = "SELECT current_user::text WHERE row_security_active('leasehold.job') AND NOT EXISTS (
    SELECT 1 FROM pg_policy AS p, unnest(p.polroles) AS r (role)
    WHERE p.polrelid = 'leasehold.job'::regclass AND p.polname <> 'tenant' AND pg_has_role(r.role, 'USAGE'))";

/// A Postgres database.
pub(crate) struct PgStore {
    work: Scoped,
    vital: PgPool,
    view: Scoped,
    stale: Arc<Stale>,
}

/// After a failover, connections to the old primary are read-only for ever: all connections that are older than the
/// first such error are thrown away.
struct Stale {
    origin: Instant,
    /// Milliseconds after `origin`; 0 if it never happened.
    since_ms: AtomicU64,
}

impl Stale {
    fn mark(&self) {
        self.since_ms.store(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Whether a connection of this age was made before the mark.
    fn covers(&self, age: Duration) -> bool {
        let since = self.since_ms.load(Ordering::SeqCst);
        since > 0 && self.origin.elapsed().saturating_sub(age) <= Duration::from_millis(since)
    }
}

/// What a URL may say behind its `?`; sqlx passes over everything else, so that a slip in `sslmode` would turn TLS off.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

pub(crate) fn check_parameters(url: &str, operation: &'static str) -> StoreResult<()> {
    let invalid = |what: String| Err(StoreError::new(ErrorKind::Invalid, operation, what));
    let Ok(url) = url::Url::parse(url) else { return Ok(()) }; // sqlx says what is wrong with it
    for (name, _) in url.query_pairs() {
        if !PARAMETERS.contains(&name.as_ref()) && !name.starts_with("options[") {
            return invalid(format!(
                "the URL has an unknown parameter {name:?}; TLS is set by sslmode and sslrootcert"
            ));
        }
    }
    Ok(())
}

/// Whether a connection that is given back still answers; an error throws it away without another word. Without the
/// limit, a dead connection would hold its place in the pool for as long as TCP hopes.
async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Postgres has no unsigned integers.
fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

impl PgStore {
    pub(crate) async fn open(url: &str, options: &Options) -> StoreResult<Self> {
        const OPERATION: &str = "open the store";
        check_parameters(url, OPERATION)?;
        let connect = PgConnectOptions::from_str(url)
            .map_err(|error| StoreError::new(ErrorKind::Invalid, OPERATION, error))?
            .application_name(&options.name);
        let stale = Arc::new(Stale { origin: Instant::now(), since_ms: AtomicU64::new(0) });
        let pool = |connections, settings: &'static [&'static str]| {
            let stale = Arc::clone(&stale);
            PgPoolOptions::new()
                .max_connections(connections)
                .min_connections(0)
                .acquire_timeout(Duration::from_secs(5))
                // A ping before every statement would double the round trips; a dead connection costs one retry.
                .test_before_acquire(false)
                .before_acquire(move |_, about| {
                    let keep = !stale.covers(about.age);
                    Box::pin(async move { Ok(keep) })
                })
                .after_release(|connection, _| Box::pin(answers(connection)))
                .after_connect(move |connection, _| {
                    Box::pin(async move {
                        for setting in settings {
                            connection.execute(*setting).await?;
                        }
                        Ok(())
                    })
                })
                .connect_lazy_with(connect.clone())
        };
        let store = Self {
            work: Scoped::everybody(pool(options.connections.max(1), &[SESSION, QUEUE_PLANS])),
            vital: pool(2, &[SESSION]),
            view: Scoped::everybody(pool(options.connections.clamp(1, 4), &[SESSION])),
            stale: Arc::clone(&stale),
        };
        // Without the pool, which would try until its time-out and then no longer know the reason.
        let first = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&connect)).await;
        let first = first.map_err(|_| {
            let what = format!("no answer from {}:{}", connect.get_host(), connect.get_port());
            StoreError::new(ErrorKind::Unavailable, OPERATION, what)
        })?;
        first.map_err(crate::error::failed(OPERATION))?.close().await.ok();
        Ok(store)
    }

    /// `map_err(self.failed("claim work"))`; takes note of a failover.
    fn failed(&self, operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        move |error| {
            if error.as_database_error().and_then(|e| e.code()).as_deref() == Some("25006") {
                self.stale.mark();
            }
            crate::error::failed(operation)(error)
        }
    }

    /// [`Self::repeated`], with a limit for each try: on a connection that died without a word (a NAT that forgot it,
    /// a host without power), an answer may never come.
    async fn settled<T, F, Fut>(&self, call: F) -> StoreResult<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = StoreResult<T>>,
    {
        let limited = || async {
            tokio::time::timeout(CALL_TIMEOUT, call()).await.unwrap_or_else(|_| {
                let what = format!("no answer within {CALL_TIMEOUT:?}");
                Err(StoreError::new(ErrorKind::Unavailable, "use the store", what))
            })
        };
        self.repeated(limited).await
    }

    /// Repeats a call that lost against a concurrent one (deadlock, serialization, lock time-out): it left nothing
    /// behind.
    async fn repeated<T, F, Fut>(&self, call: F) -> StoreResult<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = StoreResult<T>>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            match call().await {
                Err(error) if error.kind == ErrorKind::Conflict && tries < CONFLICT_TRIES => {
                    tracing::debug!(%error, tries, "repeating a write that lost against a concurrent one");
                    let wait = Duration::from_millis(rand::random_range(1..=10 * u64::from(tries)));
                    tokio::time::sleep(wait).await;
                }
                answer => return answer,
            }
        }
    }

    /// The same store on behalf of everybody.
    fn of_everybody(&self) -> Self {
        Self {
            work: Scoped::everybody(self.work.whole().clone()),
            vital: self.vital.clone(),
            view: Scoped::everybody(self.view.whole().clone()),
            stale: Arc::clone(&self.stale),
        }
    }

    /// Tells executors that something is ready. A hint that is lost costs one poll interval.
    async fn hint(&self) {
        if let Err(error) = sqlx::query(sql!("queue/hint")).execute(&self.work).await {
            tracing::debug!(%error, "could not send a hint");
        }
    }

    async fn applied(&self) -> StoreResult<Vec<i64>> {
        const OPERATION: &str = "read the schema";
        let exists: bool = sqlx::query_scalar("SELECT to_regclass('leasehold.migration') IS NOT NULL")
            .fetch_one(self.view.whole())
            .await
            .map_err(self.failed(OPERATION))?;
        if !exists {
            return Ok(Vec::new());
        }
        sqlx::query_scalar("SELECT version FROM leasehold.migration WHERE success")
            .fetch_all(&self.view)
            .await
            .map_err(self.failed(OPERATION))
    }

    async fn leader(&self, now: i64) -> StoreResult<Option<Leader>> {
        let row = sqlx::query(sql!("lease/read"))
            .fetch_optional(self.view.whole())
            .await
            .map_err(self.failed("read the lease"))?;
        row.map_or(Ok(None), |row| rows::leader(&row, now))
    }

    async fn recorded_kind(&self) -> StoreResult<Option<LeaseKind>> {
        let row =
            sqlx::query(sql!("lease/read")).fetch_optional(&self.vital).await.map_err(self.failed("read the lease"))?;
        row.map(|row| rows::lease_kind(&row)).transpose()
    }
}

#[async_trait]
impl Store for PgStore {
    async fn migrate(&self) -> StoreResult<u64> {
        const OPERATION: &str = "migrate the store";
        let before = self.applied().await?.len();
        let mut connection = self.view.whole().acquire().await.map_err(self.failed(OPERATION))?.detach();
        let as_migrator: bool =
            sqlx::query_scalar(MAY_MIGRATE).fetch_one(&mut connection).await.map_err(self.failed(OPERATION))?;
        if as_migrator {
            connection.execute("SET ROLE leasehold_migrator").await.map_err(self.failed(OPERATION))?;
        }
        migrations::postgres().run_direct(None, &mut connection, false).await.map_err(migrations::failed)?;
        connection.close().await.ok();
        Ok(self.applied().await?.len().saturating_sub(before) as u64)
    }

    async fn check_schema(&self) -> StoreResult<()> {
        migrations::check(&migrations::postgres(), &self.applied().await?)?;
        const OPERATION: &str = "use the store";
        let blind: Option<String> =
            sqlx::query_scalar(BLIND).fetch_optional(self.view.whole()).await.map_err(self.failed(OPERATION))?;
        match blind {
            None => Ok(()),
            Some(login) => {
                let what = format!(
                    "the login {login} sees no rows, since it is in none of Leasehold's roles; \
                     GRANT leasehold_scheduler (or leasehold_executor, leasehold_viewer) TO {login}"
                );
                Err(StoreError::new(ErrorKind::Schema, OPERATION, what))
            }
        }
    }

    fn narrowed(&self, tenant: &TenantId) -> Option<SharedStore> {
        Some(Arc::new(Self {
            work: self.work.of(tenant),
            vital: self.vital.clone(),
            view: self.view.of(tenant),
            stale: Arc::clone(&self.stale),
        }))
    }

    async fn ping(&self) -> StoreResult<()> {
        const OPERATION: &str = "reach the store";
        let mut connection = self.vital.acquire().await.map_err(self.failed(OPERATION))?;
        connection.ping().await.map_err(self.failed(OPERATION))
    }

    async fn status(&self) -> StoreResult<Status> {
        const OPERATION: &str = "read the status";
        if self.view.is_of_tenant() {
            return self.of_everybody().status().await; // it is about the system
        }
        let row = sqlx::query(sql!("admin/status")).fetch_one(&self.view).await.map_err(self.failed(OPERATION))?;
        let now: i64 = rows::get(&row, 0)?;
        let executors = sqlx::query(sql!("admin/executors"))
            .bind(EXECUTOR_SEEN_US)
            .fetch_all(self.view.whole())
            .await
            .map_err(self.failed(OPERATION))?;
        let slow = sqlx::query(sql!("admin/slow_jobs")).fetch_all(&self.view).await.map_err(self.failed(OPERATION))?;
        let executors =
            executors.iter().map(|row| rows::executor(row, now)).collect::<StoreResult<Vec<ExecutorView>>>()?;
        let needs = sqlx::query(sql!("admin/needs")).fetch_all(&self.view).await.map_err(self.failed(OPERATION))?;
        let needs = needs.iter().map(rows::need).collect::<StoreResult<_>>()?;
        Ok(Status {
            now: crate::clock::at(now),
            leader: self.leader(now).await?,
            unserved: crate::needs::unserved(needs, &self.queue_depths().await?, &executors),
            breakers: self.breakers().await?,
            executors,
            queue: QueueView {
                depth: rows::get(&row, 1)?,
                oldest_age_ms: rows::get::<Option<i64>>(&row, 2)?.map(|oldest| ((now - oldest) / 1000).max(0)),
                waiting: rows::get(&row, 3)?,
                running: rows::get(&row, 4)?,
            },
            next_due: rows::at_opt(&row, 5)?,
            catalog: CatalogView {
                revision: rows::get(&row, 6)?,
                tenants: rows::get(&row, 7)?,
                jobs: rows::get(&row, 8)?,
                stalled_interval_jobs: rows::get(&row, 9)?,
                paused: rows::get(&row, 10)?,
            },
            roster: self.sources().await?,
            hooks: self.hooks_kept().await?.hooks.into_iter().map(|kept| kept.view).collect(),
            slow_jobs: slow.iter().map(rows::slow_job).collect::<StoreResult<_>>()?,
        })
    }

    async fn lease_kind(&self) -> StoreResult<Option<LeaseKind>> {
        self.recorded_kind().await
    }

    async fn set_lease_kind(&self, kind: LeaseKind) -> StoreResult<()> {
        sqlx::query(sql!("lease/set_kind"))
            .bind(kind.as_str())
            .execute(&self.vital)
            .await
            .map_err(self.failed("change the kind of lease"))?;
        Ok(())
    }

    async fn hints(&self) -> StoreResult<Box<dyn Hints>> {
        const OPERATION: &str = "listen for hints";
        let mut listener = PgListener::connect_with(self.view.whole()).await.map_err(self.failed(OPERATION))?;
        listener.listen(CHANNEL).await.map_err(self.failed(OPERATION))?;
        Ok(Box::new(PgHints(listener)))
    }

    async fn close(&self) {
        let all = async { tokio::join!(self.view.close(), self.work.close(), self.vital.close()) };
        if tokio::time::timeout(CLOSE_TIMEOUT, all).await.is_err() {
            tracing::debug!("left connections behind that do not answer");
        }
    }
}

struct PgHints(PgListener);

#[async_trait]
impl Hints for PgHints {
    async fn next(&mut self) -> Hint {
        loop {
            match self.0.try_recv().await {
                Ok(Some(_)) => return Hint::Work,
                // The connection broke and is back; what was sent meanwhile is lost.
                Ok(None) => return Hint::Resync,
                Err(error) => {
                    tracing::debug!(%error, "no connection to listen for hints on");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}
