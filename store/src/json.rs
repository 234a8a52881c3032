//! Batches as JSON text, for SQLite's `json_each`: one statement takes a whole batch.

use serde::Serialize;
use uuid::Uuid;

/// A batch parameter. Rows are tuples, so they become JSON arrays.
pub(crate) fn batch<T: Serialize>(rows: &[T]) -> String {
    // Tuples of numbers and strings cannot fail to be written.
    serde_json::to_string(rows).unwrap_or_default()
}

/// A UUID as `unhex` reads it.
pub(crate) fn hex(id: Uuid) -> String {
    id.simple().to_string()
}
