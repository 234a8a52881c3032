//! On whose behalf statements run: of everybody, or of one tenant.
//!
//! A [`Scoped`] pool of one tenant runs every statement in a transaction that takes the role `leasehold_tenant` and names
//! the tenant, so that row-level security keeps it to that tenant's rows, whatever the statement says (invariant I14).
//! Both are local to the transaction: nothing is left behind on the connection, behind a pooler either. No statement file
//! knows of it, and none can forget it.
//!
//! On failure: a login that may not take the role runs the statements as they are, which is asked once.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use leasehold_common::id::TenantId;
use sqlx::postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Error, Execute, Executor, Postgres, SqlSafeStr, SqlStr, Transaction};
use tokio::sync::OnceCell;

/// Whether this login may act for a tenant: the role is there, it has rights in this database, and the login may take it.
/// A server before 16 knows no right of its own for that.
const MAY_ACT: &str = "SELECT EXISTS (
    SELECT 1 FROM pg_roles AS r, pg_namespace AS n
    WHERE r.rolname = 'leasehold_tenant' AND n.nspname = 'leasehold' AND has_schema_privilege(r.oid, n.oid, 'USAGE')
      AND CASE WHEN current_setting('server_version_num')::integer < 160000 THEN pg_has_role(r.oid, 'MEMBER')
               ELSE pg_has_role(r.oid, 'SET') END)";

/// To the end of the transaction; what stands in the setting is a value and no text of a statement.
const ACT_FOR: &str = "SELECT set_config('leasehold.tenant', $1, true), set_config('role', 'leasehold_tenant', true)";

/// A pool, and on whose behalf it is used.
#[derive(Clone, Debug)]
pub(super) struct Scoped {
    pool: PgPool,
    tenant: Option<TenantId>,
    /// Whether [`MAY_ACT`].
    may_act: Arc<OnceCell<bool>>,
}

impl Scoped {
    /// On behalf of everybody.
    pub(super) fn everybody(pool: PgPool) -> Self {
        Self { pool, tenant: None, may_act: Arc::default() }
    }

    /// The same connections on behalf of one tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> Self {
        Self { tenant: Some(tenant.clone()), ..self.clone() }
    }

    /// Whether this is for one tenant.
    pub(super) fn is_of_tenant(&self) -> bool {
        self.tenant.is_some()
    }

    /// The connections as they are, for what belongs to no tenant.
    pub(super) fn whole(&self) -> &PgPool {
        &self.pool
    }

    /// A transaction.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begin_with("BEGIN").await
    }

    /// A transaction that begins with this statement.
    pub(super) async fn begin_with(&self, begin: impl SqlSafeStr) -> Result<Transaction<'static, Postgres>, Error> {
        let narrow = match &self.tenant {
            Some(tenant) if self.may_act().await? => Some(tenant),
            _ => None,
        };
        let mut transaction = self.pool.begin_with(begin).await?;
        if let Some(tenant) = narrow {
            sqlx::query(ACT_FOR).bind(tenant.as_str()).execute(&mut *transaction).await?;
        }
        Ok(transaction)
    }

    async fn may_act(&self) -> Result<bool, Error> {
        let ask = || async {
            let may: bool = sqlx::query_scalar(MAY_ACT).fetch_one(&self.pool).await?;
            if !may {
                tracing::debug!("this login may not take the role leasehold_tenant: row-level security is not used");
            }
            Ok(may)
        };
        self.may_act.get_or_try_init(ask).await.copied()
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Statements outside a transaction get one of their own if they are a tenant's.
impl<'p> Executor<'p> for &'p Scoped {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.tenant.is_none() {
            return (&self.pool).fetch_many(query);
        }
        let all = async move {
            let mut transaction = self.begin().await?;
            let steps: Vec<_> = (&mut *transaction).fetch_many(query).try_collect().await?;
            transaction.commit().await?;
            Ok::<_, Error>(stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(all).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.tenant.is_none() {
            return (&self.pool).fetch_optional(query);
        }
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let row = (&mut *transaction).fetch_optional(query).await?;
            transaction.commit().await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        (&self.pool).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        (&self.pool).describe(sql)
    }
}
