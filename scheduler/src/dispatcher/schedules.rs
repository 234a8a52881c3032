//! Compiled schedules, with the policies that go with them, by the id of their definition.
//!
//! Thousands of tenants share one definition, and so one compiled schedule. What a hash of the job spreads (`H` in a
//! cron expression, a grid, a window, jitter) is the exception: it means other times for each job, so what was written
//! is kept and compiled for each due time.
//!
//! Bounded: the least recently used ones are dropped, so that a million distinct definitions cost queries and no
//! memory.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use leasehold_common::definition::{DefinitionId, Timing, TimingSpec};
use leasehold_common::id::JobKey;
use leasehold_common::store::{DueJob, Schedules, StoreResult};
use lru::LruCache;
use tokio::time::Instant;

/// More than the distinct definitions of the largest batch, so that loading one cannot push out another of the same
/// batch; at about a kilobyte each.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();

/// Definitions fetched with one query.
const FETCH: usize = 1_000;

/// After what time an unreadable definition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct ScheduleCache {
    entries: LruCache<DefinitionId, Entry>,
}

enum Entry {
    /// The same for every job.
    Shared(Timing),
    /// Another one for each job.
    Seeded(TimingSpec),
    /// Not to be planned by this program.
    Unreadable { since: Instant },
}

impl ScheduleCache {
    pub(super) fn new() -> Self {
        Self { entries: LruCache::new(CAPACITY) }
    }

    /// Fetches and compiles what a batch needs and is not here.
    pub(super) async fn load(&mut self, store: &dyn Schedules, jobs: &[DueJob]) -> StoreResult<()> {
        let missing: BTreeSet<_> = jobs.iter().map(|job| job.definition).filter(|id| !self.fresh(id)).collect();
        let missing: Vec<_> = missing.into_iter().collect();
        for ids in missing.chunks(FETCH) {
            let mut absent: BTreeSet<_> = ids.iter().copied().collect();
            for (id, text) in store.definitions(ids).await? {
                absent.remove(&id);
                self.insert(id, compile(id, &text));
            }
            for id in absent {
                self.insert(id, Err("the store has no such definition".to_owned()));
            }
        }
        Ok(())
    }

    /// Whether the definition of a job of the batch that was loaded last can be read.
    pub(super) fn reads(&self, job: &DueJob) -> bool {
        matches!(self.entries.peek(&job.definition), Some(Entry::Shared(_) | Entry::Seeded(_)))
    }

    /// The timing of a job of the batch that was loaded last; `None` if its definition is unreadable.
    pub(super) fn of(&mut self, job: &DueJob) -> Option<Cow<'_, Timing>> {
        match self.entries.get(&job.definition)? {
            Entry::Shared(timing) => Some(Cow::Borrowed(timing)),
            // Compiled before with another seed, so it compiles with this one.
            Entry::Seeded(spec) => spec.compile(job.key).ok().map(Cow::Owned),
            Entry::Unreadable { .. } => None,
        }
    }

    /// From now on a definition counts as unreadable, for a while.
    pub(super) fn refuse(&mut self, id: DefinitionId, why: &str) {
        self.insert(id, Err(why.to_owned()));
    }

    /// Whether an entry is here and need not be looked at again. Counts as a use, so that it outlasts the batch.
    fn fresh(&mut self, id: &DefinitionId) -> bool {
        match self.entries.get(id) {
            Some(Entry::Unreadable { since }) => since.elapsed() < LOOK_AGAIN,
            Some(_) => true,
            None => false,
        }
    }

    fn insert(&mut self, id: DefinitionId, compiled: Result<Entry, String>) {
        let known = matches!(self.entries.peek(&id), Some(Entry::Unreadable { .. }));
        let entry = compiled.unwrap_or_else(|error| {
            if !known {
                tracing::error!(
                    definition = %id.as_uuid(), error,
                    "a definition cannot be read: the jobs that use it are not planned by this version"
                );
            }
            Entry::Unreadable { since: Instant::now() }
        });
        self.entries.put(id, entry);
    }
}

fn compile(id: DefinitionId, text: &str) -> Result<Entry, String> {
    let spec: TimingSpec = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // Any key will do to see whether it compiles at all.
    let seed = JobKey::from_i64(id.as_uuid().as_u64_pair().1.cast_signed());
    let timing = spec.compile(seed).map_err(|error| error.to_string())?;
    Ok(if spec.schedule.is_seeded() { Entry::Seeded(spec) } else { Entry::Shared(timing) })
}
