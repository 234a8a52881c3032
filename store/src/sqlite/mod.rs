//! The embedded store: one SQLite file on one host.
//!
//! One connection writes, and every write is a `BEGIN IMMEDIATE` transaction: that is the lock, so no statement here
//! needs another; renewals of the lease wait in the same line, behind writes that take milliseconds. Reads have
//! connections of their own (WAL), so that a long read never costs leadership. `synchronous=FULL`: a committed run
//! survives a power cut.

/// The text of a statement file of this dialect.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../sql/sqlite/", $name, ".sql"))
    };
}

mod breakers;
mod callbacks;
mod catalog;
mod claims;
mod dead;
mod endings;
mod gates;
mod hooks;
mod lease;
mod line;
mod once;
mod overlaps;
mod pauses;
mod queue;
mod recovery;
mod roster;
mod rows;
mod runs;
mod schedules;

pub use once::enqueue_on_sqlite;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::lease::{Leader, LeaseKind};
use leasehold_common::store::{
    Breakers as _, CatalogView, ErrorKind, ExecutorView, Hint, Hints, Hooks as _, Queue as _, QueueView, Roster as _,
    Status, Store, StoreError, StoreResult,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Sqlite, Transaction};
use tokio::sync::broadcast;

use crate::clock::{WallClock, at, span};
use crate::error::failed;
use crate::{Options, migrations};

/// How long an executor stays in the status after it was last heard of.
const EXECUTOR_SEEN_US: i64 = 60_000_000;

/// How long a write waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A SQLite file.
pub(crate) struct SqliteStore {
    write: SqlitePool,
    read: SqlitePool,
    clock: WallClock,
    /// Wakes the executors of this process; those of other processes poll.
    work: broadcast::Sender<Hint>,
}

impl SqliteStore {
    pub(crate) async fn open(path: &str, options: &Options) -> StoreResult<Self> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "open the store",
                "sqlite: needs a path, as in sqlite:leasehold.db",
            ));
        }
        let memory = path == ":memory:";
        if !memory && !options.create && !Path::new(path).exists() {
            let what = format!("{path} does not exist; `leasehold migrate` creates it");
            return Err(StoreError::new(ErrorKind::Unavailable, "open the store", what));
        }
        let connect = if memory {
            SqliteConnectOptions::new().in_memory(true)
        } else {
            SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(SqliteJournalMode::Wal)
        }
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .optimize_on_close(true, None);

        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .min_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(Duration::from_secs(30))
                // After a commit that failed (a full disk), SQLite and sqlx may disagree on whether a transaction is
                // open: such a connection is replaced. A database in memory would be lost with it.
                .before_acquire(move |connection, _| {
                    let keep = memory || !connection.is_in_transaction();
                    Box::pin(async move { Ok(keep) })
                })
        };
        let write = pool(1).connect_with(connect.clone()).await.map_err(failed("open the store"))?;
        let read = if memory {
            write.clone() // a database in memory belongs to its one connection
        } else {
            pool(options.connections.clamp(1, 4)).connect_with(connect).await.map_err(failed("open the store"))?
        };
        Ok(Self { write, read, clock: options.clock.clone(), work: broadcast::channel(16).0 })
    }

    fn now(&self) -> i64 {
        self.clock.now_us()
    }

    /// Starts a write.
    async fn begin(&self, operation: &'static str) -> StoreResult<Transaction<'static, Sqlite>> {
        self.write.begin_with("BEGIN IMMEDIATE").await.map_err(failed(operation))
    }

    /// Tells the executors of this process that something is ready. Nobody listening is fine.
    fn hint(&self) {
        let _ = self.work.send(Hint::Work);
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn migrate(&self) -> StoreResult<u64> {
        let migrator = migrations::sqlite();
        let before = self.applied().await?.len();
        // Several processes may do this at once, and the migrator takes no lock on SQLite: this transaction is the lock.
        let mut write = self.begin("migrate the store").await?;
        migrator.run_direct(None, &mut *write, false).await.map_err(migrations::failed)?;
        write.commit().await.map_err(failed("migrate the store"))?;
        Ok(self.applied().await?.len().saturating_sub(before) as u64)
    }

    async fn check_schema(&self) -> StoreResult<()> {
        migrations::check(&migrations::sqlite(), &self.applied().await?)
    }

    async fn ping(&self) -> StoreResult<()> {
        let mut connection = self.read.acquire().await.map_err(failed("reach the store"))?;
        connection.ping().await.map_err(failed("reach the store"))
    }

    async fn status(&self) -> StoreResult<Status> {
        const OPERATION: &str = "read the status";
        let now = self.now();
        let row = sqlx::query(sql!("admin/status")).bind(now).fetch_one(&self.read).await.map_err(failed(OPERATION))?;
        // SQLite's min(a, b) is null if either is: the second column then has the one that is there.
        let oldest = rows::get::<Option<i64>>(&row, 1)?.or(rows::get(&row, 2)?);
        let executors = sqlx::query(sql!("admin/executors"))
            .bind(now - EXECUTOR_SEEN_US)
            .fetch_all(&self.read)
            .await
            .map_err(failed(OPERATION))?;
        let slow = sqlx::query(sql!("admin/slow_jobs")).fetch_all(&self.read).await.map_err(failed(OPERATION))?;
        let executors =
            executors.iter().map(|row| rows::executor(row, now)).collect::<StoreResult<Vec<ExecutorView>>>()?;
        let needs = sqlx::query(sql!("admin/needs")).fetch_all(&self.read).await.map_err(failed(OPERATION))?;
        let needs = needs.iter().map(rows::need).collect::<StoreResult<_>>()?;
        Ok(Status {
            now: at(now),
            leader: self.leader(now).await?,
            unserved: crate::needs::unserved(needs, &self.queues().await?, &executors),
            breakers: self.breakers().await?,
            executors,
            queue: QueueView {
                depth: rows::get(&row, 0)?,
                oldest_age_ms: oldest.map(|oldest| ((now - oldest) / 1000).max(0)),
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
            .bind(self.now())
            .execute(&self.write)
            .await
            .map_err(failed("change the kind of lease"))?;
        Ok(())
    }

    async fn hints(&self) -> StoreResult<Box<dyn Hints>> {
        Ok(Box::new(LocalHints(self.work.subscribe())))
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

impl SqliteStore {
    /// The migrations that were applied; none if the file is new.
    async fn applied(&self) -> StoreResult<Vec<i64>> {
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')")
                .fetch_one(&self.write)
                .await
                .map_err(failed("read the schema"))?;
        if !exists {
            return Ok(Vec::new());
        }
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(&self.write)
            .await
            .map_err(failed("read the schema"))
    }

    async fn leader(&self, now: i64) -> StoreResult<Option<Leader>> {
        let row = sqlx::query(sql!("lease/read")).fetch_optional(&self.read).await.map_err(failed("read the lease"))?;
        row.map_or(Ok(None), |row| rows::leader(&row, now))
    }

    async fn recorded_kind(&self) -> StoreResult<Option<LeaseKind>> {
        let row = sqlx::query(sql!("lease/read")).fetch_optional(&self.read).await.map_err(failed("read the lease"))?;
        row.map(|row| rows::lease_kind(&row)).transpose()
    }

    fn until(now: i64, then: Option<i64>) -> Option<Duration> {
        then.map(|then| span(now, then))
    }
}

struct LocalHints(broadcast::Receiver<Hint>);

#[async_trait]
impl Hints for LocalHints {
    async fn next(&mut self) -> Hint {
        match self.0.recv().await {
            Ok(hint) => hint,
            Err(broadcast::error::RecvError::Lagged(_)) => Hint::Resync,
            // The store is being dropped: there is nothing left to hint at.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
