//! From sqlx errors to [`StoreError`]: the one place that knows what a caller can do about each.

use leasehold_common::store::{ErrorKind, StoreError};

/// `map_err(failed("claim work"))`.
pub(crate) fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| StoreError::new(kind(&error), operation, describe(error))
}

/// The store holds something that this program cannot read.
pub(crate) fn corrupt(operation: &'static str, what: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, operation, what.into())
}

fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some(code) if code.len() == 5 => postgres_kind(code),
            Some(code) => code.parse().map_or(ErrorKind::Invalid, |code| sqlite_kind(code, database.message())),
            None => ErrorKind::Invalid,
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => ErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            ErrorKind::Corrupt
        }
        _ => ErrorKind::Invalid,
    }
}

/// By SQLSTATE (PostgreSQL manual, appendix A).
fn postgres_kind(code: &str) -> ErrorKind {
    match code {
        // serialization failure, deadlock, lock timeout
        "40001" | "40P01" | "55P03" => ErrorKind::Conflict,
        // undefined table, function, column, schema
        "42P01" | "42883" | "42703" | "3F000" => ErrorKind::Schema,
        // damage
        "XX001" | "XX002" => ErrorKind::Corrupt,
        // the values do not fit: data exceptions and violated constraints
        _ if code.starts_with("22") || code.starts_with("23") => ErrorKind::Invalid,
        // All else is about the server, its set-up or the connection, from a missing right to a crash: what was asked
        // may well work later, and a report must not be dropped for it.
        _ => ErrorKind::Unavailable,
    }
}

/// By SQLite result code (sqlite.org/rescode.html); the low byte is the primary code.
fn sqlite_kind(code: i32, message: &str) -> ErrorKind {
    match code & 0xff {
        5 | 6 => ErrorKind::Conflict,               // busy, locked
        8 | 10 | 13 | 14 => ErrorKind::Unavailable, // read-only, I/O error, full, cannot open
        11 | 26 => ErrorKind::Corrupt,              // corrupt, not a database
        1 if message.contains("no such table") || message.contains("no such column") => ErrorKind::Schema,
        _ => ErrorKind::Invalid,
    }
}

/// sqlx prefixes a database error with "error returned from database"; the message alone reads better.
fn describe(error: sqlx::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        sqlx::Error::Database(database) => format!("{database}").into(),
        sqlx::Error::PoolTimedOut => "no connection to the store became free in time".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_codes() {
        assert_eq!(postgres_kind("40P01"), ErrorKind::Conflict);
        assert_eq!(postgres_kind("25006"), ErrorKind::Unavailable);
        assert_eq!(postgres_kind("57P01"), ErrorKind::Unavailable);
        assert_eq!(postgres_kind("53100"), ErrorKind::Unavailable); // disk full
        assert_eq!(postgres_kind("42P01"), ErrorKind::Schema);
        assert_eq!(postgres_kind("23505"), ErrorKind::Invalid);
        assert_eq!(postgres_kind("42501"), ErrorKind::Unavailable); // a right is missing
        assert_eq!(sqlite_kind(517, ""), ErrorKind::Conflict); // busy snapshot
        assert_eq!(sqlite_kind(13, ""), ErrorKind::Unavailable); // full
        assert_eq!(sqlite_kind(1, "no such table: job"), ErrorKind::Schema);
        assert_eq!(sqlite_kind(26, ""), ErrorKind::Corrupt);
    }
}
