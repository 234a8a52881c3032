//! Where tenants come from besides the config file: live sources that the leader asks again and again.
//!
//! Owns the words; the config says which sources there are (`config::roster`), the scheduler's reconciler asks them, and
//! the store keeps the last good answer.

use std::time::Duration;

/// The live sources of a config, and how they are used.
#[derive(Clone, Debug, PartialEq)]
pub struct RosterSpec {
    /// The sources. A tenant that the config file or an earlier source names is not taken from a later one.
    pub sources: Vec<SourceSpec>,
    /// How often they are asked.
    pub refresh: Duration,
    /// The largest share of the tenants of a source (0.0 to 1.0) that may go at one refresh; more is taken for a fault
    /// of the source.
    pub max_drop: f64,
    /// What becomes of the runs of tenants that go.
    pub on_leave: OnLeave,
}

impl Default for RosterSpec {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            refresh: Self::DEFAULT_REFRESH,
            max_drop: Self::DEFAULT_MAX_DROP,
            on_leave: OnLeave::default(),
        }
    }
}

impl RosterSpec {
    /// `refresh` when config names none.
    pub const DEFAULT_REFRESH: Duration = Duration::from_secs(60);
    /// `max_drop` when config names none.
    pub const DEFAULT_MAX_DROP: f64 = 0.3;
}

/// What becomes of the runs of tenants that go. What waits ends in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLeave {
    /// They finish.
    #[default]
    Finish,
    /// They are cancelled.
    Cancel,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// Its name, unique in the config.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A query on a database of the user's own. Its columns are named like the keys of a tenant in the config.
    Sql {
        /// `postgres://…` or `sqlite:PATH`.
        url: Secret,
        /// The query.
        query: String,
    },
    /// An endpoint that answers with JSON: a list of tenants, or a map with the list in `tenants`.
    Http {
        /// Where.
        url: String,
        /// The token for the `Authorization` header.
        bearer: Option<Secret>,
    },
}

/// Where to find a value that no config and no store should hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Secret {
    /// An environment variable of the program that uses it: `env:NAME`.
    Env(String),
    /// A file on its machine, without the line's end: `file:PATH`.
    File(String),
    /// The value itself, if it is none that must be kept secret.
    Plain(String),
}

/// Why a text is no reference to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// `env:` without the name of a variable.
    #[error("`env:` is followed by the name of an environment variable, as in `env:DB_PASSWORD`")]
    Variable,
    /// `file:` without a path.
    #[error("`file:` is followed by a path, as in `file:/run/secrets/db-password`")]
    Path,
}

impl Secret {
    /// Reads `env:NAME` and `file:PATH`; any other text is a [`Secret::Plain`].
    ///
    /// # Errors
    /// [`SecretError`], if it begins like a reference and is none.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if let Some(name) = text.strip_prefix("env:") {
            let is_name = !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return if is_name { Ok(Self::Env(name.to_owned())) } else { Err(SecretError::Variable) };
        }
        if let Some(path) = text.strip_prefix("file:") {
            let is_path = !path.trim().is_empty() && !path.contains(char::is_control);
            return if is_path { Ok(Self::File(path.to_owned())) } else { Err(SecretError::Path) };
        }
        Ok(Self::Plain(text.to_owned()))
    }
}

impl std::fmt::Display for Secret {
    /// The reference; a plain value as it stands.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Plain(value) => f.write_str(value),
        }
    }
}

/// A tenant that a source names and that cannot be used. The others can.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    /// The source.
    pub source: String,
    /// The tenant as the source calls it, cut to a length that can be shown.
    pub tenant: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::{Secret, SecretError};

    #[test]
    fn references_are_read_and_written() {
        for (text, secret) in [
            ("env:DB_URL", Ok(Secret::Env("DB_URL".to_owned()))),
            ("file:/run/secrets/db", Ok(Secret::File("/run/secrets/db".to_owned()))),
            ("sqlite:a.db", Ok(Secret::Plain("sqlite:a.db".to_owned()))),
            ("", Ok(Secret::Plain(String::new()))),
            ("env:", Err(SecretError::Variable)),
            ("env:1A", Err(SecretError::Variable)),
            ("env:A B", Err(SecretError::Variable)),
            ("file:", Err(SecretError::Path)),
            ("file: ", Err(SecretError::Path)),
            ("file:a\nb", Err(SecretError::Path)),
        ] {
            assert_eq!(Secret::parse(text), secret, "{text:?}");
            if let Ok(secret) = secret {
                assert_eq!(secret.to_string(), text);
            }
        }
    }
}
