//! Databases of tenants: not the store, but what handlers work on.
//!
//! Owns connections to them, and the transactions in which everything for a tenant is done there. It is here because this
//! crate alone names sqlx; it shares nothing with the stores, and knows neither jobs nor handlers.
//!
//! Invariants:
//! - What a transaction sees of its tenant (the schema, `leasehold.tenant`, the time limit) is local to it, and whatever
//!   else was set on a connection is reset before anybody else gets it: tenants that share a server share connections,
//!   and nothing on them.
//! - No more connections are open than [`PoolOptions::total`] and, for one tenant, [`PoolOptions::per_tenant`]; idle ones
//!   are closed after [`PoolOptions::idle`].
//! - No database is created here.
//!
//! On failure: a [`TenantDbError`] that says whether another attempt may help. No message names a password. A transaction
//! that is dropped is rolled back, and a statement that is running in it is cancelled on the server.

mod error;
mod postgres;
mod slots;
mod sqlite;
mod value;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_common::id::TenantId;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::query::Query;
use sqlx::{Database, Encode, Type};

pub use self::error::TenantDbError;
pub use self::postgres::PgTenantTransaction;
use self::slots::Slots;
pub use self::sqlite::SqliteTenantTransaction;

/// How many connections to databases of tenants there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Open at once, in use or idle.
    pub total: u32,
    /// In use at once for one tenant.
    pub per_tenant: u32,
    /// How long an idle one is kept.
    pub idle: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { total: 32, per_tenant: 4, idle: Duration::from_secs(60) }
    }
}

/// Where the data of a tenant is, with everything filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose data.
    pub tenant: TenantId,
    /// `postgres://…` or `sqlite:PATH`.
    pub url: String,
    /// The password, if it is not part of the URL.
    pub password: Option<String>,
    /// The schema that statements see, and no other (PostgreSQL only).
    pub schema: Option<String>,
}

impl Place {
    fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }
}

/// Without the URL and the password.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("tenant", &self.tenant).field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// A statement with its parameters, `$1` the first.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantStatement<'a> {
    /// One statement of SQL.
    pub sql: &'a str,
    /// Values. They are bound, and never become part of the text.
    pub params: Vec<Param>,
}

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text. PostgreSQL takes it for a value of another type if the statement says so: `$1::timestamptz`.
    Text(String),
}

/// Binds a parameter as what it is, whatever the database.
fn bind<'q, DB: Database>(query: Query<'q, DB, DB::Arguments>, param: &Param) -> Query<'q, DB, DB::Arguments>
where
    Option<String>: Encode<'q, DB> + Type<DB>,
    bool: Encode<'q, DB> + Type<DB>,
    i64: Encode<'q, DB> + Type<DB>,
    f64: Encode<'q, DB> + Type<DB>,
    String: Encode<'q, DB> + Type<DB>,
{
    match param {
        Param::Null => query.bind(None::<String>),
        Param::Bool(value) => query.bind(*value),
        Param::Int(value) => query.bind(*value),
        Param::Float(value) => query.bind(*value),
        Param::Text(value) => query.bind(value.clone()),
    }
}

/// What a statement did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatementDone {
    /// How many rows it inserted, updated, deleted or, of a query, returned.
    pub rows_affected: u64,
    /// The rows that it returned, the first of them only if they are many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Map<String, Value>>,
    /// Whether there were more rows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// So many rows of all statements of a run are kept for its result, and so many bytes of JSON.
const ROWS_KEPT: usize = 100;
const BYTES_KEPT: usize = 12 * 1024;

/// Keeps the first rows that statements return.
#[derive(Debug, Default)]
struct Kept {
    rows: usize,
    bytes: usize,
}

impl Kept {
    /// Adds a row to what its statement did, or notes that there is no room. `row` is made only if it is needed.
    fn push(&mut self, done: &mut StatementDone, row: impl FnOnce() -> Map<String, Value>) {
        if done.truncated || self.rows >= ROWS_KEPT {
            done.truncated = true;
            return;
        }
        let row = row();
        let bytes = serde_json::to_string(&row).map_or(usize::MAX, |text| text.len());
        if self.bytes.saturating_add(bytes) > BYTES_KEPT {
            done.truncated = true;
            return;
        }
        self.rows += 1;
        self.bytes += bytes;
        done.rows.push(row);
    }
}

/// Connections to the databases of tenants, made on demand.
#[derive(Clone, Debug)]
pub struct TenantPools {
    slots: Arc<Slots>,
}

impl TenantPools {
    /// None yet.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        Self { slots: Arc::new(Slots::new(options)) }
    }

    /// A transaction in the tenant's PostgreSQL database, which sees the tenant's schema. A statement in it may take
    /// `limit`.
    pub async fn postgres(&self, place: &Place, limit: Option<Duration>) -> Result<PgTenantTransaction, TenantDbError> {
        if place.is_sqlite() {
            return Err(TenantDbError::permanent(format!("the database of tenant {} is SQLite", place.tenant)));
        }
        PgTenantTransaction::begin(&self.slots, place, limit).await
    }

    /// A transaction in the tenant's SQLite database, which must be there. It may take `limit`.
    pub async fn sqlite(
        &self,
        place: &Place,
        limit: Option<Duration>,
    ) -> Result<SqliteTenantTransaction, TenantDbError> {
        if !place.is_sqlite() {
            return Err(TenantDbError::permanent(format!("the database of tenant {} is not SQLite", place.tenant)));
        }
        SqliteTenantTransaction::begin(&self.slots, place, limit).await
    }

    /// Runs statements one after the other, in one transaction that may take `limit`.
    pub async fn run(
        &self,
        place: &Place,
        statements: &[TenantStatement<'_>],
        limit: Duration,
    ) -> Result<Vec<StatementDone>, TenantDbError> {
        match place.is_sqlite() {
            true => sqlite::run(&self.slots, place, statements, limit).await,
            false => postgres::run(&self.slots, place, statements, limit).await,
        }
    }

    /// How many connections are open, in use or idle.
    #[must_use]
    pub fn open(&self) -> usize {
        self.slots.open()
    }

    /// How many of them are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.slots.idle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Map<String, Value> {
        [("t".to_owned(), Value::from(text))].into_iter().collect()
    }

    #[test]
    fn the_rows_of_a_result_are_bounded_in_number_and_size() {
        let (mut kept, mut done) = (Kept::default(), StatementDone::default());
        (0..150).for_each(|_| kept.push(&mut done, || row("x")));
        assert_eq!((done.rows.len(), done.truncated), (ROWS_KEPT, true));
        let mut next = StatementDone::default();
        kept.push(&mut next, || row("of the next statement"));
        assert_eq!((next.rows.len(), next.truncated), (0, true));

        let (mut kept, mut done) = (Kept::default(), StatementDone::default());
        kept.push(&mut done, || row("small"));
        kept.push(&mut done, || row(&"x".repeat(BYTES_KEPT)));
        kept.push(&mut done, || row("small"));
        assert_eq!((done.rows.len(), done.truncated), (1, true), "nothing comes after a gap");
    }

    #[test]
    fn a_place_keeps_its_secrets_to_itself() {
        let place = Place {
            tenant: TenantId::new("acme").unwrap_or_else(|error| panic!("{error}")),
            url: "postgres://u:hunter2@db/x".to_owned(),
            password: Some("hunter3".to_owned()),
            schema: None,
        };
        assert!(!format!("{place:?}").contains("hunter"));
    }
}
