//! What a job with `sql` runs: statements and where the values of their parameters come from.

use serde::{Deserialize, Serialize};

/// A statement of a job with `sql`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlStatement {
    /// One statement of SQL, with `$1` for its first parameter. No template: values are bound.
    pub statement: String,
    /// The parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<SqlParam>,
}

/// A parameter of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlParam {
    /// A template; what it is rendered to is bound as text.
    Text(String),
    /// A number, true, false or null.
    Value(serde_json::Value),
    /// A value of the payload: the name of a key, or a JSON pointer (RFC 6901), which begins with a slash.
    Payload(String),
}

impl SqlParam {
    /// The value of the payload that `name` means.
    #[must_use]
    pub fn find<'p>(payload: Option<&'p serde_json::Value>, name: &str) -> Option<&'p serde_json::Value> {
        if name.starts_with('/') { payload?.pointer(name) } else { payload?.get(name) }
    }
}
