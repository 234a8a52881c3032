//! Readers for the rows of SQLite.

use sqlx::sqlite::SqliteRow;

crate::rows::readers!(SqliteRow);
