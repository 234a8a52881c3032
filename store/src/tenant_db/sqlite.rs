//! SQLite as a tenant's database: a file, opened for one transaction and closed after it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Either, Executor as _, Sqlite, Transaction};

use super::slots::{Slot, Slots};
use super::{Kept, Place, StatementDone, TenantDbError, TenantStatement, bind, value};

/// How long another writer is waited for, within the limit.
const BUSY: Duration = Duration::from_secs(5);

/// After so many steps of the virtual machine it is asked whether the time is over.
const STEPS: i32 = 10_000;

/// A transaction in the database file of one tenant. It dereferences to the connection. Not committed, it is rolled back;
/// dropped while a statement runs, the statement is interrupted.
pub struct SqliteTenantTransaction {
    /// There until the end.
    inner: Option<Inner>,
    over: Arc<AtomicBool>,
}

struct Inner {
    transaction: Transaction<'static, Sqlite>,
    pool: SqlitePool,
    slot: Slot,
}

impl std::fmt::Debug for SqliteTenantTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteTenantTransaction")
    }
}

impl Deref for SqliteTenantTransaction {
    type Target = SqliteConnection;

    #[expect(clippy::expect_used, reason = "it is taken out by what consumes the transaction, and by nothing else")]
    fn deref(&self) -> &SqliteConnection {
        &self.inner.as_ref().expect("the transaction has not ended").transaction
    }
}

impl DerefMut for SqliteTenantTransaction {
    #[expect(clippy::expect_used, reason = "it is taken out by what consumes the transaction, and by nothing else")]
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner.as_mut().expect("the transaction has not ended").transaction
    }
}

impl SqliteTenantTransaction {
    pub(super) async fn begin(
        slots: &Arc<Slots>,
        place: &Place,
        limit: Option<Duration>,
    ) -> Result<Self, TenantDbError> {
        let options = connect_options(place, limit)?;
        let (slot, _) = slots.take(place).await;
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await?;
        // A deferred transaction that writes later fails at once if somebody else wrote meanwhile.
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        let over = Arc::new(AtomicBool::new(false));
        let (told, until) = (Arc::clone(&over), limit.map(|limit| Instant::now() + limit));
        transaction.lock_handle().await?.set_progress_handler(STEPS, move || {
            !told.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until)
        });
        Ok(Self { inner: Some(Inner { transaction, pool, slot }), over })
    }

    /// Makes what was done last.
    pub async fn commit(mut self) -> Result<(), TenantDbError> {
        let Some(Inner { transaction, pool, slot }) = self.inner.take() else { return Ok(()) };
        let committed = transaction.commit().await;
        pool.close().await;
        drop(slot);
        Ok(committed?)
    }

    /// Undoes what was done.
    pub async fn rollback(mut self) -> Result<(), TenantDbError> {
        let Some(Inner { transaction, pool, slot }) = self.inner.take() else { return Ok(()) };
        let undone = transaction.rollback().await;
        pool.close().await;
        drop(slot);
        Ok(undone?)
    }

    async fn execute(
        &mut self,
        statement: &TenantStatement<'_>,
        kept: &mut Kept,
    ) -> Result<StatementDone, TenantDbError> {
        let mut query = sqlx::query(AssertSqlSafe(statement.sql.to_owned()));
        for param in &statement.params {
            query = bind(query, param);
        }
        let (mut done, mut returned) = (StatementDone::default(), 0);
        let mut steps = (&mut **self).fetch_many(query);
        while let Some(step) = steps.try_next().await? {
            match step {
                Either::Left(result) => done.rows_affected += result.rows_affected(),
                Either::Right(row) => {
                    returned += 1;
                    kept.push(&mut done, || value::sqlite_row(&row));
                }
            }
        }
        // SQLite counts what was written; PostgreSQL counts what a query returns too.
        done.rows_affected = done.rows_affected.max(returned);
        Ok(done)
    }
}

impl Drop for SqliteTenantTransaction {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let Some(Inner { transaction, pool, slot }) = self.inner.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            drop(transaction);
            pool.close().await;
            drop(slot);
        });
    }
}

/// See [`super::TenantPools::run`].
pub(super) async fn run(
    slots: &Arc<Slots>,
    place: &Place,
    statements: &[TenantStatement<'_>],
    limit: Duration,
) -> Result<Vec<StatementDone>, TenantDbError> {
    let mut transaction = SqliteTenantTransaction::begin(slots, place, Some(limit)).await?;
    let (mut kept, mut all) = (Kept::default(), Vec::with_capacity(statements.len()));
    for (at, statement) in statements.iter().enumerate() {
        match transaction.execute(statement, &mut kept).await {
            Ok(done) => all.push(done),
            Err(error) => {
                // What went wrong matters more than that there was nothing left to undo.
                transaction.rollback().await.ok();
                return Err(error.of_statement(at + 1));
            }
        }
    }
    transaction.commit().await?;
    Ok(all)
}

fn connect_options(place: &Place, limit: Option<Duration>) -> Result<SqliteConnectOptions, TenantDbError> {
    let tenant = &place.tenant;
    if place.schema.is_some() {
        let what = format!("the database of tenant {tenant} is SQLite, which has no schemas; remove `schema`");
        return Err(TenantDbError::permanent(what));
    }
    let path = place.url.trim_start_matches("sqlite:");
    // SQLite takes these for a database in memory and for a URI with settings.
    if path.is_empty() || path.starts_with(':') || path.starts_with("file:") || path.contains('\0') {
        let what = format!("the database of tenant {tenant} is not a file: write it as in sqlite:tenants/acme.db");
        return Err(TenantDbError::permanent(what));
    }
    let wait = limit.map_or(BUSY, |limit| limit.min(BUSY));
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).busy_timeout(wait);
    match std::path::Path::new(path).is_file() {
        true => Ok(options),
        false => Err(TenantDbError::new(format!("tenant {tenant} has no database file {path}"))),
    }
}
