//! Secrets by reference: looked up anew at each use, so that one that is rotated is found.
//!
//! Invariant: an error names where a secret should be, and nothing of what is there.

use std::fmt::Display;

use leasehold_common::roster::Secret;
use tokio::io::AsyncReadExt;

/// No secret is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// The value that a reference, `env:NAME` or `file:PATH`, stands for. A file loses the line's end.
pub(super) async fn resolve(reference: &str) -> Result<String, String> {
    match Secret::parse(reference).map_err(|error| error.to_string())? {
        Secret::Plain(_) => Err("a secret is referred to as `env:NAME` or `file:PATH`".to_owned()),
        Secret::Env(name) => match std::env::var(&name) {
            Ok(value) if !value.is_empty() => Ok(value),
            Ok(_) => Err(format!("the environment variable {name} of this executor is empty")),
            Err(_) => Err(format!("this executor has no environment variable {name}")),
        },
        Secret::File(path) => file(&path).await,
    }
}

async fn file(path: &str) -> Result<String, String> {
    let failed = |why: &dyn Display| format!("this executor cannot read {path}: {why}");
    // Opening a pipe would wait for whoever writes into it.
    let about = tokio::fs::metadata(path).await.map_err(|error| failed(&error))?;
    if !about.is_file() {
        return Err(failed(&"it is no file"));
    }
    let file = tokio::fs::File::open(path).await.map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await.map_err(|error| failed(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(&"it is too large for a secret"));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed(&"it is no text"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(failed(&"it is empty")),
        value => Ok(value.to_owned()),
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
