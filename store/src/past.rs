//! What an apply leaves behind: due times of changed and removed jobs that no leader came to.
//!
//! After a long pause these may be millions, and counting them takes seconds. So they are counted before the apply
//! begins, from what is read without a lock; under the lock only the jobs whose account has moved since are counted
//! again, and the moments in between.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use leasehold_common::catalog::CatalogPlan;
use leasehold_common::definition::Definition;
use leasehold_common::id::JobKey;
use leasehold_common::plan::past;
use leasehold_common::run::Outcome;
use leasehold_common::store::{ErrorKind, Pause, Skipped, StoreError, StoreResult};

/// How far the due times of a job were dealt with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// Up to here.
    pub(crate) accounted: Timestamp,
    /// Its latest pause.
    pub(crate) pause: Option<Pause>,
    /// When a leader looks at it next.
    pub(crate) next_due: Option<Timestamp>,
}

impl Account {
    /// Whether nothing can have been due since: the next due time is to come, and nothing holds it up.
    fn is_on_time(&self, job: &Definition, now: Timestamp) -> bool {
        self.next_due.is_some_and(|due| due > now)
            && job.blackouts.is_empty()
            && self.pause.is_none_or(|pause| pause.until <= self.accounted)
    }
}

/// The accounts of jobs.
pub(crate) type Accounts = HashMap<JobKey, Account>;

/// The jobs whose due times a plan changes or ends. One that never was before leaves nothing behind.
pub(crate) fn changed_jobs(plan: &CatalogPlan) -> Vec<i64> {
    let rescheduled = plan.put_jobs.iter().filter(|job| job.reschedule && job.version > 1).map(|job| job.key);
    rescheduled.chain(plan.remove_jobs.iter().map(|job| job.key)).map(JobKey::as_i64).collect()
}

/// A job whose due times end with a plan: what it was, and with which outcome.
struct Ends {
    key: JobKey,
    previous: Arc<Definition>,
    outcome: Outcome,
}

/// What a plan leaves behind, as far as it was counted.
pub(crate) struct Past {
    ends: Vec<Ends>,
    accounts: Accounts,
    /// Up to when it was counted.
    until: Timestamp,
    rows: HashMap<JobKey, Vec<Skipped>>,
}

impl Past {
    /// Counts up to `until`, off the threads that serve connections.
    pub(crate) async fn count(plan: &CatalogPlan, accounts: Accounts, until: Timestamp) -> StoreResult<Self> {
        let ends = ends(plan);
        let counted = tokio::task::spawn_blocking(move || {
            let rows = ends.iter().filter_map(|job| {
                let account = accounts.get(&job.key)?;
                Some((job.key, add(Vec::new(), job, *account, until)))
            });
            let rows = rows.collect();
            Self { ends, accounts, until, rows }
        });
        counted
            .await
            .map_err(|error| StoreError::new(ErrorKind::Unavailable, "count what an apply leaves behind", error))
    }

    /// The rows up to `now`, with the accounts as they are under the lock.
    pub(crate) fn rows(&self, accounts: &Accounts, now: Timestamp) -> Vec<(JobKey, Skipped)> {
        let mut all = Vec::new();
        for job in &self.ends {
            let Some(account) = accounts.get(&job.key) else { continue };
            let known = self.rows.get(&job.key).filter(|_| self.accounts.get(&job.key) == Some(account));
            let rows = match known {
                Some(rows) => {
                    let accounted = account.accounted.max(self.until);
                    add(rows.clone(), job, Account { accounted, ..*account }, now)
                }
                None => add(Vec::new(), job, *account, now),
            };
            all.extend(rows.into_iter().map(|row| (job.key, row)));
        }
        all
    }
}

/// A definition that this program cannot read leaves nothing: the version that wrote it knows more.
fn ends(plan: &CatalogPlan) -> Vec<Ends> {
    let changed = plan.put_jobs.iter().filter(|job| job.reschedule);
    let changed = changed
        .filter_map(|job| Some(Ends { key: job.key, previous: job.previous.clone()?, outcome: Outcome::Superseded }));
    let removed = plan.remove_jobs.iter();
    let removed = removed
        .filter_map(|job| Some(Ends { key: job.key, previous: job.previous.clone()?, outcome: Outcome::Cancelled }));
    changed.chain(removed).collect()
}

/// Adds the due times of a job after its account up to `now`.
fn add(mut rows: Vec<Skipped>, job: &Ends, account: Account, now: Timestamp) -> Vec<Skipped> {
    if !account.is_on_time(&job.previous, now)
        && let Ok(timing) = job.previous.timing().compile(job.key)
        && timing.schedule.interval().is_none()
    {
        past(&mut rows, &timing, account.accounted, account.pause, now, job.outcome);
    }
    rows
}
