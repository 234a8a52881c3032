//! Secrets by reference: looked up anew at each use, so that one that is rotated is found.

use leasehold_common::roster::Secret;

use super::source::SourceError;

/// No secret is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// The value. The message of an error names where it should be, and nothing of what is there.
pub(super) async fn resolve(what: &str, secret: &Secret) -> Result<String, SourceError> {
    match secret {
        Secret::Plain(value) => Ok(value.clone()),
        Secret::Env(name) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(value),
            Ok(_) => Err(SourceError::new(format!("{what}: the scheduler's environment variable {name} is empty"))),
            Err(_) => Err(SourceError::new(format!("{what}: the scheduler has no environment variable {name}"))),
        },
        Secret::File(path) => file(what, path).await,
    }
}

async fn file(what: &str, path: &str) -> Result<String, SourceError> {
    let failed = |why: &dyn std::fmt::Display| SourceError::new(format!("{what}: cannot read the file {path}: {why}"));
    let about = tokio::fs::metadata(path).await.map_err(|error| failed(&error))?;
    if about.len() > MAX_BYTES {
        return Err(failed(&"it is too large for a secret"));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|error| failed(&error))?;
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(failed(&"it is empty"));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn secrets_come_from_where_the_reference_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("good"), "se cret\r\n").unwrap();
        std::fs::write(path("empty"), "\n").unwrap();
        let get = async |secret: Secret| resolve("bearer", &secret).await.map_err(|error| error.to_string());
        assert_eq!(get(Secret::Plain("x".to_owned())).await.unwrap(), "x");
        assert_eq!(get(Secret::File(path("good"))).await.unwrap(), "se cret");
        assert!(get(Secret::File(path("empty"))).await.unwrap_err().ends_with("it is empty"));
        assert!(get(Secret::File(path("none"))).await.unwrap_err().starts_with("bearer: cannot read the file"));
        let missing = get(Secret::Env("LEASEHOLD_TEST_NOT_SET".to_owned())).await.unwrap_err();
        assert_eq!(missing, "bearer: the scheduler has no environment variable LEASEHOLD_TEST_NOT_SET");
        assert_eq!(get(Secret::Env("PATH".to_owned())).await.unwrap(), std::env::var("PATH").unwrap());
    }
}
