//! What an apply leaves behind: due times of changed and removed jobs that no leader came to.

use std::collections::HashMap;

use jiff::Timestamp;
use leasehold_common::catalog::CatalogPlan;
use leasehold_common::definition::Definition;
use leasehold_common::id::JobKey;
use leasehold_common::plan::past;
use leasehold_common::run::Outcome;
use leasehold_common::store::{Pause, Skipped};

/// How far the due times of a job were dealt with, and its latest pause.
pub(crate) type Account = (Timestamp, Option<Pause>);

/// The rows of due times up to `now` that end with the change. A definition that this program cannot read leaves none:
/// the version that wrote it knows more.
pub(crate) fn of(plan: &CatalogPlan, accounts: &HashMap<JobKey, Account>, now: Timestamp) -> Vec<(JobKey, Skipped)> {
    let changed = plan.put_jobs.iter().filter(|job| job.reschedule);
    let changed = changed.filter_map(|job| Some((job.key, job.previous.as_deref()?, Outcome::Superseded)));
    let removed = plan.remove_jobs.iter();
    let removed = removed.filter_map(|job| Some((job.key, job.previous.as_deref()?, Outcome::Cancelled)));
    let mut rows = Vec::new();
    for (key, previous, outcome) in changed.chain(removed) {
        if let Some(account) = accounts.get(&key) {
            rows.extend(of_job(key, previous, *account, now, outcome).into_iter().map(|row| (key, row)));
        }
    }
    rows
}

fn of_job(
    key: JobKey,
    previous: &Definition,
    (accounted, pause): Account,
    now: Timestamp,
    outcome: Outcome,
) -> Vec<Skipped> {
    match previous.timing().compile(key) {
        Ok(timing) if timing.schedule.interval().is_none() => past(&timing, accounted, pause, now, outcome),
        _ => Vec::new(),
    }
}
