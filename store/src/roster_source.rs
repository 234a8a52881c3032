//! Asking a database of the user's own for tenants.
//!
//! Owns the connection, which lives for one question, and how the values of any column become JSON. Must not know what
//! the columns mean.
//!
//! Invariants: nothing is written (a read-only transaction, a file opened read-only); a question takes no longer than its
//! limit, on the server too; rows are handed on one by one. No message holds the URL, which may have a password in it.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use leasehold_common::store::{ErrorKind, StoreError, StoreResult};
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Connection as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _};

use crate::error::failed;
use crate::postgres::check_parameters;

const ASK: &str = "ask the database";

/// How long the set-up of a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// So many steps of SQLite's virtual machine pass between two looks at the clock.
const STEPS: i32 = 10_000;

/// What a question may cost.
#[derive(Clone, Copy, Debug)]
pub struct AskLimits {
    /// How long it may take.
    pub time: Duration,
    /// How many bytes all rows may have, as JSON.
    pub bytes: usize,
}

/// Asks `query` of the database at `url` (`postgres://…` or `sqlite:PATH`) and hands on each row as a map of its columns.
///
/// # Errors
/// If the database cannot be reached, refuses the query, or answers with more than the limits allow. Rows may have been
/// handed on by then.
pub async fn ask_sql(
    url: &str,
    query: &str,
    limits: AskLimits,
    take: &mut (dyn FnMut(Map<String, Value>) + Send),
) -> StoreResult<()> {
    let answer = async {
        if let Some(path) = url.strip_prefix("sqlite:") {
            sqlite(path, query, limits, take).await
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            postgres(url, query, limits, take).await
        } else {
            Err(invalid("the URL must start with postgres:// or sqlite:"))
        }
    };
    // A moment more than the database has, so that its own words come first.
    match tokio::time::timeout(limits.time + Duration::from_secs(2), answer).await {
        Ok(answer) => answer,
        Err(_) => Err(unavailable(format!("no answer within {:?}", limits.time))),
    }
}

fn invalid(what: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Invalid, ASK, what.into())
}

fn unavailable(what: String) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, ASK, what)
}

/// Counts what was answered.
struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    fn spend(&mut self, bytes: usize) -> StoreResult<()> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| invalid(format!("the answer is larger than {} MiB", self.limit / 1024 / 1024)))?;
        Ok(())
    }
}

/// The server makes JSON of whatever types the columns have.
async fn postgres(
    url: &str,
    query: &str,
    limits: AskLimits,
    take: &mut (dyn FnMut(Map<String, Value>) + Send),
) -> StoreResult<()> {
    check_parameters(url, ASK)?;
    let connect = PgConnectOptions::from_str(url)
        .map_err(|error| invalid(format!("the URL is wrong: {error}")))?
        .application_name("leasehold-roster")
        .statement_cache_capacity(0);
    let place = format!("{}:{}", connect.get_host(), connect.get_port());
    let mut connection =
        match tokio::time::timeout(CONNECT.min(limits.time), PgConnection::connect_with(&connect)).await {
            Ok(connected) => connected.map_err(|error| at_place(&place, error))?,
            Err(_) => return Err(unavailable(format!("no answer from {place}"))),
        };
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", limits.time.as_millis().max(1));
    connection.execute(AssertSqlSafe(begin)).await.map_err(failed(ASK))?;
    // The line break ends a comment at the query's end. As a part of another query it can be a query only.
    let query = query.trim().trim_end_matches(';');
    let query = format!("SELECT row_to_json(tenant)::text FROM (\n{query}\n) AS tenant");
    let mut budget = Budget::new(limits.bytes);
    {
        let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(query)).fetch(&mut connection);
        while let Some(row) = rows.try_next().await.map_err(failed(ASK))? {
            budget.spend(row.len())?;
            let row = serde_json::from_str(&row).map_err(|error| invalid(format!("a row is no map: {error}")))?;
            take(row);
        }
    }
    connection.close().await.ok(); // ends the transaction too; all rows are here
    Ok(())
}

/// An error of the connection names the server, a refusal by it speaks for itself.
fn at_place(place: &str, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(_) => failed(ASK)(error),
        error => unavailable(format!("no connection to {place}: {error}")),
    }
}

async fn sqlite(
    path: &str,
    query: &str,
    limits: AskLimits,
    take: &mut (dyn FnMut(Map<String, Value>) + Send),
) -> StoreResult<()> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if !std::path::Path::new(path).is_file() {
        return Err(unavailable(format!("there is no file {path}")));
    }
    let connect = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(CONNECT.min(limits.time));
    let mut connection = SqliteConnection::connect_with(&connect).await.map_err(failed(ASK))?;
    connection.execute("PRAGMA query_only = ON").await.map_err(failed(ASK))?;
    let until = Instant::now() + limits.time;
    connection.lock_handle().await.map_err(failed(ASK))?.set_progress_handler(STEPS, move || Instant::now() < until);
    let mut budget = Budget::new(limits.bytes);
    let slow = |error: sqlx::Error| match Instant::now() < until {
        true => failed(ASK)(error),
        false => unavailable(format!("no answer within {:?}", limits.time)),
    };
    {
        let mut rows = sqlx::query(AssertSqlSafe(query.to_owned())).fetch(&mut connection);
        while let Some(row) = rows.try_next().await.map_err(slow)? {
            take(json_of(&row, &mut budget)?);
        }
    }
    connection.close().await.ok();
    Ok(())
}

/// SQLite's values have types of their own, whatever their column says.
fn json_of(row: &SqliteRow, budget: &mut Budget) -> StoreResult<Map<String, Value>> {
    let mut map = Map::new();
    for (index, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(index).map_err(failed(ASK))?;
        let kind = if raw.is_null() { String::new() } else { raw.type_info().name().to_owned() };
        let value = match kind.as_str() {
            "" => Value::Null,
            "INTEGER" => row.try_get_unchecked::<i64, _>(index).map_err(failed(ASK))?.into(),
            "REAL" => row.try_get_unchecked::<f64, _>(index).map_err(failed(ASK))?.into(),
            "TEXT" => row.try_get_unchecked::<String, _>(index).map_err(failed(ASK))?.into(),
            _ => return Err(invalid(format!("the column {:?} is binary; cast it to text", column.name()))),
        };
        budget.spend(column.name().len() + value.as_str().map_or(8, str::len))?;
        map.insert(column.name().to_owned(), value);
    }
    Ok(map)
}
