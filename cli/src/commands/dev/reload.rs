//! Applying the config, at the start and whenever the file changes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use leasehold_common::config::Config;
use leasehold_common::store::SharedStore;
use tokio_util::sync::CancellationToken;

use crate::apply::{self, Done, Permission};
use crate::failure::Failure;
use crate::render::plan;
use crate::render::style::Palette;
use crate::render::text::one_line;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A config and the store that it is applied to.
pub(crate) struct Reload {
    store: SharedStore,
    file: PathBuf,
    removal: bool,
    seen: Option<Stamp>,
}

/// What tells one state of a file from another.
pub(crate) type Stamp = (SystemTime, u64);

impl Reload {
    /// For a config that was read in the state `seen`.
    pub(crate) fn new(store: SharedStore, file: &Path, removal: bool, seen: Option<Stamp>) -> Self {
        Self { store, file: file.to_owned(), removal, seen }
    }

    /// Brings the catalog to what the config says. The plan goes to stderr: stdout is for reports.
    pub(crate) async fn apply(&self, config: &Config) -> Result<(), Failure> {
        let permission = Permission { dry_run: false, removal: self.removal };
        let show = |changes: &_| {
            leasehold_ops::say_part!("{}", plan::plan(changes, Palette::stderr()));
            Ok(())
        };
        match apply::apply(&*self.store, config, permission, show).await? {
            Done::Revision(revision) => leasehold_ops::say!("applied: the catalog has revision {revision}"),
            Done::Nothing | Done::Planned => leasehold_ops::say!("the catalog is as the config says"),
        }
        Ok(())
    }

    /// Applies the file again whenever it changes. A file that cannot be used changes nothing.
    pub(crate) async fn watch(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = stamp(&self.file);
            if now.is_some() && now != self.seen {
                self.seen = now;
                self.reload().await;
            }
        }
    }

    async fn reload(&self) {
        leasehold_ops::say!("{} has changed", one_line(&self.file.display().to_string()));
        let result = match apply::load(&self.file) {
            Ok(config) => self.apply(&config).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = result {
            leasehold_ops::say!("not applied: {}", one_line(&failure.to_string()));
        }
    }
}

/// The state of a file. An editor that replaces the file leaves a moment without one: that is no change.
pub(crate) fn stamp(file: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(file).ok()?;
    Some((data.modified().ok()?, data.len()))
}
