//! Readers for the rows of Postgres.

use sqlx::postgres::PgRow;

crate::rows::readers!(PgRow);
