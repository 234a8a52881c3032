//! PostgreSQL as a tenant's database.

use std::ops::{Deref, DerefMut};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Either, Executor as _, Postgres, Row as _, Transaction};
use tokio::time::timeout;

use super::slots::{Found, Slot, Slots};
use super::{Kept, Place, StatementDone, TenantDbError, TenantStatement, bind, value};

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// How long cancelling a statement, or closing a connection, may take before it is left to the server.
const GIVE_UP: Duration = Duration::from_secs(10);

/// How long a connection that is given back may take to be reset.
const RESET_WITHIN: Duration = Duration::from_secs(2);

/// The longest name of a schema, in bytes. The server cuts longer ones, and two tenants would share one.
const NAME_MAX: usize = 63;

/// What lasts as long as the transaction. The schema is quoted as a whole by the server, so that no value adds one to the
/// path; `leasehold.tenant` is for row-level security of one's own.
const ENTER: &str = "SELECT CASE WHEN $1::text IS NOT NULL THEN set_config('search_path', quote_ident($1), true) END,
    set_config('leasehold.tenant', $2, true), set_config('statement_timeout', $3, true), pg_backend_pid(),
    $1::text IS NULL OR to_regnamespace(quote_ident($1)) IS NOT NULL";

/// What a handler may have left behind on a connection, outside of any transaction. This is `DISCARD ALL` without
/// forgetting prepared statements, of which the client keeps count.
const RESET: &str = "CLOSE ALL; RESET ROLE; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *;
    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// A transaction in the database of one tenant. It dereferences to the connection. Not committed, it is rolled back;
/// dropped while a statement runs, the statement is cancelled on the server.
pub struct PgTenantTransaction {
    /// There until the end.
    inner: Option<Inner>,
}

struct Inner {
    transaction: Transaction<'static, Postgres>,
    slot: Slot,
    pool: PgPool,
    options: PgConnectOptions,
    pid: i32,
}

impl std::fmt::Debug for PgTenantTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PgTenantTransaction")
    }
}

impl Deref for PgTenantTransaction {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "it is taken out by what consumes the transaction, and by nothing else")]
    fn deref(&self) -> &PgConnection {
        &self.inner.as_ref().expect("the transaction has not ended").transaction
    }
}

impl DerefMut for PgTenantTransaction {
    #[expect(clippy::expect_used, reason = "it is taken out by what consumes the transaction, and by nothing else")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner.as_mut().expect("the transaction has not ended").transaction
    }
}

impl PgTenantTransaction {
    pub(super) async fn begin(
        slots: &Arc<Slots>,
        place: &Place,
        limit: Option<Duration>,
    ) -> Result<Self, TenantDbError> {
        let options = connect_options(place)?;
        check_schema_name(place)?;
        let (slot, found) = slots.take(place).await;
        let (pool, other) = match found {
            Found::Idle(pool, last) => (pool, last != place.tenant),
            Found::Room => (pool(&options), false),
        };
        let mut transaction = match pool.begin().await {
            // A pool tries until its time is over, and then no longer knows the reason.
            Err(sqlx::Error::PoolTimedOut) => return Err(reason(&options).await),
            begun => begun?,
        };
        if other {
            // A statement that was prepared for the tables of another schema may have other columns.
            transaction.clear_cached_statements().await?;
        }
        let row = sqlx::query(ENTER)
            .bind(place.schema.as_deref())
            .bind(place.tenant.as_str())
            .bind(statement_timeout(limit))
            .fetch_one(&mut *transaction)
            .await?;
        let entered = Self { inner: Some(Inner { transaction, slot, pool, options, pid: row.try_get(3)? }) };
        if row.try_get::<bool, _>(4)? {
            return Ok(entered);
        }
        entered.rollback().await?;
        let schema = place.schema.as_deref().unwrap_or_default();
        Err(TenantDbError::new(format!("the database of tenant {} has no schema {schema:?}", place.tenant)))
    }

    /// Makes what was done last.
    pub async fn commit(mut self) -> Result<(), TenantDbError> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        let Inner { transaction, slot, pool, .. } = inner;
        transaction.commit().await?;
        slot.keep(pool);
        Ok(())
    }

    /// Undoes what was done.
    pub async fn rollback(mut self) -> Result<(), TenantDbError> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        let Inner { transaction, slot, pool, .. } = inner;
        transaction.rollback().await?;
        slot.keep(pool);
        Ok(())
    }

    async fn limit(&mut self, left: Duration) -> Result<(), TenantDbError> {
        sqlx::query("SELECT set_config('statement_timeout', $1, true)")
            .bind(statement_timeout(Some(left)))
            .execute(&mut **self)
            .await?;
        Ok(())
    }

    async fn execute(
        &mut self,
        statement: &TenantStatement<'_>,
        kept: &mut Kept,
    ) -> Result<StatementDone, TenantDbError> {
        let mut query = sqlx::query(AssertSqlSafe(statement.sql.to_owned())).persistent(false);
        for param in &statement.params {
            query = bind(query, param);
        }
        let mut done = StatementDone::default();
        let mut steps = (&mut **self).fetch_many(query);
        while let Some(step) = steps.try_next().await? {
            match step {
                Either::Left(result) => done.rows_affected += result.rows_affected(),
                Either::Right(row) => kept.push(&mut done, || value::pg_row(&row)),
            }
        }
        Ok(done)
    }
}

impl Drop for PgTenantTransaction {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        // Without a runtime there is nobody to tell: the connection closes, and the server finds out.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(inner.abandon());
    }
}

impl Inner {
    /// Ends what may still run, and the connection with it.
    async fn abandon(self) {
        let Self { transaction, slot, pool, options, pid } = self;
        // The backend is this transaction's until the connection is given up, so that no other work can be hit.
        let cancel = async {
            let mut connection = PgConnection::connect_with(&options).await?;
            sqlx::query("SELECT pg_cancel_backend($1)").bind(pid).execute(&mut connection).await?;
            connection.close().await
        };
        if !matches!(timeout(GIVE_UP, cancel).await, Ok(Ok(()))) {
            tracing::debug!("a statement in a tenant's database could not be cancelled; its time limit ends it");
        }
        drop(transaction);
        timeout(GIVE_UP, pool.close()).await.ok();
        drop(slot);
    }
}

/// See [`super::TenantPools::run`].
pub(super) async fn run(
    slots: &Arc<Slots>,
    place: &Place,
    statements: &[TenantStatement<'_>],
    limit: Duration,
) -> Result<Vec<StatementDone>, TenantDbError> {
    let until = Instant::now() + limit;
    let mut transaction = PgTenantTransaction::begin(slots, place, Some(limit)).await?;
    let (mut kept, mut all) = (Kept::default(), Vec::with_capacity(statements.len()));
    for (at, statement) in statements.iter().enumerate() {
        let done = async {
            if at > 0 {
                transaction.limit(until.saturating_duration_since(Instant::now())).await?;
            }
            transaction.execute(statement, &mut kept).await
        };
        match done.await {
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

fn connect_options(place: &Place) -> Result<PgConnectOptions, TenantDbError> {
    let tenant = &place.tenant;
    let wrong = |what: String| TenantDbError::permanent(format!("the database of tenant {tenant}: {what}"));
    if !place.url.starts_with("postgres://") && !place.url.starts_with("postgresql://") {
        return Err(wrong("the URL must start with postgres:// or sqlite:".to_owned()));
    }
    crate::postgres::check_parameters(&place.url, "open it").map_err(|error| wrong(error.to_string()))?;
    // What the parser says may quote the URL, and with it a password.
    let options =
        PgConnectOptions::from_str(&place.url).map_err(|_| wrong("the URL is not one of PostgreSQL".to_owned()))?;
    let options = options.application_name("leasehold-executor");
    Ok(match &place.password {
        Some(password) => options.password(password),
        None => options,
    })
}

/// A schema is named by a template, whose values may be anybody's.
fn check_schema_name(place: &Place) -> Result<(), TenantDbError> {
    let Some(schema) = place.schema.as_deref() else { return Ok(()) };
    let what = match schema {
        "" => "it is empty",
        _ if schema.len() > NAME_MAX => "it has more than 63 bytes",
        _ if schema.contains('\0') => "it has a NUL character",
        // `$user` and `pg_temp` mean another schema in a search_path, quoted too, and the others are the server's own.
        _ if schema.starts_with('$') || schema.to_lowercase().starts_with("pg_") || schema == "information_schema" => {
            "it is a name of PostgreSQL's own"
        }
        _ => return Ok(()),
    };
    Err(TenantDbError::permanent(format!("tenant {} cannot have the schema {schema:?}: {what}", place.tenant)))
}

/// One connection, reset whenever it is given back.
fn pool(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .min_connections(0)
        .acquire_timeout(CONNECT)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| Box::pin(reset(connection)))
        .connect_lazy_with(options.clone())
}

/// Why no connection can be made.
async fn reason(options: &PgConnectOptions) -> TenantDbError {
    match timeout(CONNECT, PgConnection::connect_with(options)).await {
        Ok(Err(error)) => error.into(),
        Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut.into(),
    }
}

/// An error throws the connection away.
async fn reset(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match timeout(RESET_WITHIN, connection.execute(sqlx::raw_sql(RESET))).await {
        Ok(done) => done.map(|_| true),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Milliseconds; 0 means none, so that the least is 1.
fn statement_timeout(limit: Option<Duration>) -> String {
    limit.map_or(0, |limit| limit.as_millis().clamp(1, i32::MAX as u128)).to_string()
}
