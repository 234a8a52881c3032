//! Secrets of this scheduler, by reference.

use leasehold_common::roster::Secret;
use leasehold_ops::secret::{SecretError, look_up};

/// The value; if it is referred to, it is not empty. The message of an error names where it should be, and nothing of
/// what is there.
pub(crate) async fn resolve(what: &str, secret: &Secret) -> Result<String, String> {
    let unreadable = |path: &str, why: &str| format!("{what}: cannot read the file {path}: {why}");
    let value = look_up(secret).await.map_err(|error| match error {
        SecretError::File { path, why } => unreadable(&path, &why),
        SecretError::NotSet(name) => {
            format!("{what}: the scheduler has no environment variable {name}")
        }
    })?;
    match secret {
        Secret::Env(name) if value.is_empty() => {
            Err(format!("{what}: the scheduler's environment variable {name} is empty"))
        }
        Secret::File(path) if value.is_empty() => Err(unreadable(path, "it is empty")),
        _ => Ok(value),
    }
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
        let get = async |secret: Secret| resolve("bearer", &secret).await;
        assert_eq!(get(Secret::Plain("x".to_owned())).await.unwrap(), "x");
        assert_eq!(get(Secret::File(path("good"))).await.unwrap(), "se cret");
        assert!(get(Secret::File(path("empty"))).await.unwrap_err().ends_with("it is empty"));
        assert!(get(Secret::File(path("none"))).await.unwrap_err().starts_with("bearer: cannot read the file"));
        let missing = get(Secret::Env("LEASEHOLD_TEST_NOT_SET".to_owned())).await.unwrap_err();
        assert_eq!(missing, "bearer: the scheduler has no environment variable LEASEHOLD_TEST_NOT_SET");
        assert_eq!(get(Secret::Env("PATH".to_owned())).await.unwrap(), std::env::var("PATH").unwrap());
    }
}
