//! Secrets by reference: looked up anew at each use, so that one that is rotated is found.
//!
//! Invariant: an error names where a secret should be, and nothing of what is there.

use leasehold_common::roster::Secret;
use tokio::io::AsyncReadExt as _;

/// No secret is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a secret was not found. Whoever asks knows whose environment and whose files these are, and says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretError {
    /// The environment has no such variable.
    NotSet(String),
    /// The file cannot be read.
    File {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
}

/// The value, which may be empty. A file loses the line's end.
///
/// # Errors
/// [`SecretError`] if it is not where the reference says.
pub async fn look_up(secret: &Secret) -> Result<String, SecretError> {
    match secret {
        Secret::Plain(value) => Ok(value.clone()),
        Secret::Env(name) => std::env::var(name).map_err(|_| SecretError::NotSet(name.clone())),
        Secret::File(path) => file(path).await.map_err(|why| SecretError::File { path: path.clone(), why }),
    }
}

async fn file(path: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    // Opening a pipe would wait for whoever writes into it.
    if !tokio::fs::metadata(path).await.map_err(failed)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is too large for a secret".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
