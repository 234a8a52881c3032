//! Which time zone rules this program carries, told at the start and compared with those of its host.
//!
//! The host's are never used: all replicas must agree on when a job is due. But a host that has newer ones means that
//! this program is due for an upgrade, and one that has older ones that other programs on it may be an hour off.

use std::cmp::Ordering;
use std::io::Read as _;
use std::path::Path;

use leasehold_common::schedule::{tzdb_version, tzdb_version_of_host};

/// Where hosts keep the text of their zone data.
const HOST: &str = "/usr/share/zoneinfo/tzdata.zi";

/// The first line says which release it is.
const HEAD: u64 = 100;

/// Logs both releases, as a warning if they differ. A host without zone data is fine: container images have none.
pub(crate) fn tell() {
    let ours = tzdb_version().unwrap_or("unknown");
    let host = of_host(Path::new(HOST));
    tracing::info!(tzdb = ours, host = host.as_deref().unwrap_or("none"), "time zone data");
    if let Some(difference) = host.as_deref().and_then(|host| difference(ours, host)) {
        tracing::warn!("{difference}");
    }
}

fn of_host(file: &Path) -> Option<String> {
    let mut head = Vec::new();
    std::fs::File::open(file).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    tzdb_version_of_host(&String::from_utf8_lossy(&head)).map(str::to_owned)
}

/// What to say of two releases; nothing if they are the same.
fn difference(ours: &str, host: &str) -> Option<String> {
    match ours.cmp(host) {
        Ordering::Equal => None,
        Ordering::Less => Some(format!(
            "this program carries time zone data {ours}, its host has {host}: where rules have changed in between, jobs \
             run by the old ones until Leasehold is upgraded"
        )),
        Ordering::Greater => Some(format!(
            "this program carries time zone data {ours}, its host has {host}: jobs run by the newer rules, other \
             programs on this host do not"
        )),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_a_host_is_read_from_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tzdata.zi");
        assert_eq!(of_host(&file), None, "no such file");
        let text =
            format!("# version 2025b\n# This zic input file is in the public domain.\n{}", "R d 1916\n".repeat(99));
        std::fs::write(&file, text).unwrap();
        assert_eq!(of_host(&file).as_deref(), Some("2025b"));
        std::fs::write(&file, b"\xff\xfe").unwrap();
        assert_eq!(of_host(&file), None);
    }

    #[test]
    fn a_difference_says_which_side_is_behind() {
        assert_eq!(difference("2026e", "2026e"), None);
        assert!(difference("2026e", "2026f").unwrap().contains("until Leasehold is upgraded"));
        assert!(difference("2026e", "2025b").unwrap().contains("newer rules"));
    }
}
