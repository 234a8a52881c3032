//! What can go wrong in a tenant's database, and whether another attempt may help.

use std::fmt;

/// Something went wrong in a tenant's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantDbError {
    /// What, for people.
    pub message: String,
    /// Whether another attempt may help.
    pub retry: bool,
    /// What the database calls it: a SQLSTATE of PostgreSQL, or a result code of SQLite.
    pub code: Option<String>,
}

impl TenantDbError {
    /// Another attempt may help.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: true, code: None }
    }

    /// No attempt can help.
    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false, code: None }
    }

    /// The same of a certain statement, `1` the first.
    pub(super) fn of_statement(self, number: usize) -> Self {
        Self { message: format!("statement {number}: {}", self.message), ..self }
    }
}

impl fmt::Display for TenantDbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

impl std::error::Error for TenantDbError {}

impl From<sqlx::Error> for TenantDbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let retry = match code.len() {
                    5 => postgres_retry(&code),
                    _ => code.parse().map_or(true, |code: i32| sqlite_retry(code)),
                };
                let message = format!("{} ({})", database.message(), code);
                Self { message, retry, code: Some(code.into_owned()).filter(|code| !code.is_empty()) }
            }
            sqlx::Error::PoolTimedOut => Self::new("no connection to the tenant's database could be made in time"),
            sqlx::Error::Configuration(_) | sqlx::Error::Encode(_) => Self::permanent(error.to_string()),
            _ => Self::new(format!("the tenant's database: {error}")),
        }
    }
}

/// By SQLSTATE (PostgreSQL manual, appendix A). What the statement, its values or the rows are to blame for stays so;
/// all else is about the server, the connection or others who were faster.
fn postgres_retry(code: &str) -> bool {
    // feature not supported, cardinality, data, constraint, triggered data change, syntax or access rule, with check option
    !["0A", "21", "22", "23", "27", "42", "44"].contains(&&code[..2])
}

/// By SQLite result code (sqlite.org/rescode.html); the low byte is the primary code.
fn sqlite_retry(code: i32) -> bool {
    // error (syntax, no such table), too big, constraint, mismatch, range
    ![1, 18, 19, 20, 25].contains(&(code & 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_statement_is_to_blame_for_is_permanent() {
        for (code, retry) in [
            ("23505", false), // unique violation
            ("42601", false), // syntax
            ("42P01", false), // no such table
            ("42501", false), // a right is missing
            ("22P02", false), // no such value
            ("25P02", true),
            ("25006", true), // read-only: a failover
            ("40001", true), // serialization
            ("40P01", true), // deadlock
            ("55P03", true), // lock time-out
            ("57014", true), // cancelled, statement time-out
            ("57P01", true), // the server shuts down
            ("53300", true), // too many connections
            ("08006", true), // the connection broke
            ("3D000", true), // no such database yet
        ] {
            assert_eq!(postgres_retry(code), retry, "{code}");
        }
        for (code, retry) in [(1, false), (2067, false), (5, true), (517, true), (9, true), (13, true), (14, true)] {
            assert_eq!(sqlite_retry(code), retry, "{code}");
        }
    }
}
