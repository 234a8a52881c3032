//! Temporary folders: one for each run, which is removed after it.
//!
//! They lie in one folder of the executor's, on which it holds a lock for as long as it lives. An executor that died
//! leaves its folder without one, and the next executor of the same user removes it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

const PREFIX: &str = "leasehold-run-";

/// How often the removal is tried: what was killed just now may still write.
const TRIES: u32 = 5;

/// Makes folders for runs.
#[derive(Debug)]
pub(super) struct Scratch {
    parent: PathBuf,
    own: Mutex<Option<Own>>,
}

impl Scratch {
    /// Below `parent`, where nothing is made before the first run.
    pub(super) fn new(parent: PathBuf) -> Self {
        Self { parent, own: Mutex::new(None) }
    }

    /// A new folder that nobody else may look into. Blocks.
    pub(super) fn folder(&self) -> io::Result<Folder> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody who cleans up may have removed it.
        if let Some(own) = own.as_ref().filter(|own| own.path.is_dir()) {
            return Folder::make(&own.path);
        }
        sweep(&self.parent);
        let made = Own::make(&self.parent)?;
        let folder = Folder::make(&made.path);
        *own = Some(made);
        folder
    }
}

/// The folder of this executor, locked.
#[derive(Debug)]
struct Own {
    path: PathBuf,
    _lock: File,
}

impl Own {
    fn make(parent: &Path) -> io::Result<Self> {
        loop {
            let path = parent.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
            private(&path)?;
            // Whoever sweeps right now may have been faster: then it is gone or about to go, and the next one is tried.
            if let Ok(lock) = lock(&path)
                && path.is_dir()
            {
                return Ok(Self { path, _lock: lock });
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// The folder of one run. Removed by [`Folder::remove`], or when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    fn make(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("{:016x}", rand::random::<u64>()));
        private(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn remove(path: &Path) {
    for attempt in 1..=TRIES {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) if attempt < TRIES => thread::sleep(Duration::from_millis(20) * attempt),
            Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove a temporary folder"),
        }
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Removes what executors of the same user left behind that no longer live.
fn sweep(parent: &Path) {
    let me = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        // This one follows no links.
        let is_ours = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == me);
        if !is_ours || !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = entry.path();
        if let Ok(_lock) = lock(&path) {
            tracing::info!(path = %path.display(), "removing what an executor left behind that no longer lives");
            remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn entries(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn a_folder_is_private_and_gone_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(parent.path().to_owned());
        assert_eq!(entries(parent.path()), 0);
        let (folder, other) = (scratch.folder().unwrap(), scratch.folder().unwrap());
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(entries(parent.path()), 1, "both lie in one of the executor's");
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists() && other.path().exists());
        drop((other, scratch));
        assert_eq!(entries(parent.path()), 0);
    }

    #[test]
    fn what_a_dead_executor_left_is_removed_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::new(parent.path().to_owned());
        let folder = living.folder().unwrap();
        let dead = parent.path().join(format!("{PREFIX}0123456789abcdef"));
        fs::create_dir_all(dead.join("run")).unwrap();
        let other = parent.path().join("somebody-elses");
        fs::create_dir(&other).unwrap();
        let next = Scratch::new(parent.path().to_owned());
        let second = next.folder().unwrap();
        assert!(!dead.exists() && other.exists() && folder.path().exists() && second.path().exists());
    }

    #[test]
    fn a_folder_that_somebody_cleaned_away_is_made_anew() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(parent.path().to_owned());
        let first = scratch.folder().unwrap();
        fs::remove_dir_all(first.path().parent().unwrap()).unwrap();
        assert!(scratch.folder().unwrap().path().is_dir());
    }
}
