//! What runs say of themselves while they run, brought to the store: progress, and the last lines of their log.
//!
//! Gathers, and writes at most once a second what is new; nothing for runs that say nothing. Nothing depends on a note: one
//! that fails is dropped, and the next one of its run says all of it again. What a handler has said by itself is written
//! before the run's report; lines that the report has anyway are not, so that a short program costs no write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_common::id::CorrelationId;
use leasehold_common::progress::{LogTail, one_line, percent};
use leasehold_common::store::{Attempt, Note, SharedStore};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long notes gather.
const GATHER: Duration = Duration::from_secs(1);

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be written. See the module.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    new: Mutex<HashMap<CorrelationId, Notebook>>,
    some: Notify,
}

/// What one attempt has said. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notebook {
    said: Arc<Mutex<Said>>,
    /// `None`: nobody writes it down, as in a test of a handler.
    of: Option<(Attempt, Arc<Notes>)>,
}

#[derive(Debug, Default)]
struct Said {
    percent: Option<u8>,
    message: Option<String>,
    log: LogTail,
    /// Whether the handler has said something by itself since the last note.
    by_itself: bool,
}

impl Notebook {
    /// The handler tells how far it is.
    pub(crate) fn progress(&self, done: u8, message: &str) {
        let mut said = lock(&self.said);
        said.percent = Some(percent(done));
        said.message = Some(one_line(message)).filter(|message| !message.is_empty());
        said.by_itself = true;
        drop(said);
        self.changed();
    }

    /// The handler has something for its log.
    pub(crate) fn log(&self, text: &str) {
        let mut said = lock(&self.said);
        said.log.push(text);
        said.by_itself = true;
        drop(said);
        self.changed();
    }

    /// A line of output, which the report has, too.
    pub(crate) fn output(&self, line: &str) {
        lock(&self.said).log.push(line);
        self.changed();
    }

    fn changed(&self) {
        let Some((attempt, notes)) = &self.of else { return };
        if lock(&notes.new).insert(attempt.id, self.clone()).is_none() {
            notes.some.notify_one();
        }
    }

    fn note(&self) -> Option<Note> {
        let (attempt, _) = self.of.as_ref()?;
        let mut said = lock(&self.said);
        said.by_itself = false;
        let Said { percent, message, log, .. } = &*said;
        Some(Note { attempt: *attempt, percent: *percent, message: message.clone(), log: log.text() })
    }

    #[cfg(test)]
    pub(crate) fn last(&self) -> (Option<u8>, Option<String>, Option<String>) {
        let said = lock(&self.said);
        (said.percent, said.message.clone(), said.log.text())
    }
}

impl Notes {
    /// The notebook of an attempt.
    pub(crate) fn of(self: &Arc<Self>, attempt: Attempt) -> Notebook {
        Notebook { said: Arc::default(), of: Some((attempt, Arc::clone(self))) }
    }

    /// Writes until told to stop, which must come after the last report.
    pub(crate) async fn run(self: Arc<Self>, store: SharedStore, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = async {
                    self.some.notified().await;
                    sleep(GATHER).await;
                } => {}
            }
            let new: Vec<_> = std::mem::take(&mut *lock(&self.new)).into_values().collect();
            write(&store, new.iter().filter_map(Notebook::note).collect()).await;
        }
    }

    /// Writes what these runs have said last, since after their report it is too late.
    pub(crate) async fn finish(&self, store: &SharedStore, runs: impl Iterator<Item = CorrelationId>) {
        let last: Vec<_> = {
            let mut new = lock(&self.new);
            if new.is_empty() {
                return;
            }
            runs.filter_map(|run| new.remove(&run)).collect()
        };
        let by_itself = |book: &&Notebook| lock(&book.said).by_itself;
        write(store, last.iter().filter(by_itself).filter_map(Notebook::note).collect()).await;
    }
}

async fn write(store: &SharedStore, notes: Vec<Note>) {
    if notes.is_empty() {
        return;
    }
    let store = Arc::clone(store);
    // In a task of its own, so that a call that hangs is not dropped half way.
    let call = tokio::spawn(async move { store.note(&notes).await });
    match timeout(PATIENCE, call).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::debug!(%error, "what runs say is not written"),
        Ok(Err(_)) | Err(_) => tracing::debug!("what runs say is not written in time"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
