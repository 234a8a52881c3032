//! Secrets of this executor, by reference.

use leasehold_common::roster::Secret;
use leasehold_ops::secret::{SecretError, look_up};

/// The value that a reference, `env:NAME` or `file:PATH`, stands for; it is not empty.
pub(super) async fn resolve(reference: &str) -> Result<String, String> {
    let unreadable = |path: &str, why: &str| format!("this executor cannot read {path}: {why}");
    let secret = Secret::parse(reference).map_err(|error| error.to_string())?;
    let value = match &secret {
        Secret::Plain(_) => return Err("a secret is referred to as `env:NAME` or `file:PATH`".to_owned()),
        _ => look_up(&secret).await.map_err(|error| match error {
            SecretError::File { path, why } => unreadable(&path, &why),
            SecretError::NotSet(name) => format!("this executor has no environment variable {name}"),
        })?,
    };
    match secret {
        Secret::Env(name) if value.is_empty() => {
            Err(format!("the environment variable {name} of this executor is empty"))
        }
        Secret::File(path) if value.is_empty() => Err(unreadable(&path, "it is empty")),
        _ => Ok(value),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn secrets_come_from_where_the_reference_says_and_errors_say_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (name, text) in
            [("good", &b"se cret\r\n"[..]), ("empty", b"\n"), ("bytes", b"hush\xff"), ("long", &[b'x'; 65 * 1024])]
        {
            std::fs::write(path(name), text).unwrap();
        }
        let file = async |name: &str| resolve(&format!("file:{}", path(name))).await;
        assert_eq!(file("good").await.as_deref(), Ok("se cret"));
        for (name, why) in [("empty", "empty"), ("bytes", "no text"), ("long", "too large"), ("none", "No such file")] {
            let error = file(name).await.unwrap_err();
            assert!(error.contains(why) && error.contains(name) && !error.contains("hush"), "{error}");
        }
        let folder = resolve(&format!("file:{}", folder.path().display())).await.unwrap_err();
        assert!(folder.ends_with("it is no file"), "{folder}");
        assert_eq!(resolve("env:PATH").await.unwrap(), std::env::var("PATH").unwrap());
        let missing = resolve("env:LEASEHOLD_TEST_NOT_SET").await.unwrap_err();
        assert_eq!(missing, "this executor has no environment variable LEASEHOLD_TEST_NOT_SET");
        let plain = resolve("hush").await.unwrap_err();
        assert!(plain.contains("env:NAME") && !plain.contains("hush"), "{plain}");
    }
}
