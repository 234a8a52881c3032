//! Hooks: who is told what becomes of runs, and how often.
//!
//! Owns the words, and the pure decisions: which events a report is ([`events`]), what of them makes a message and when
//! ([`HookState`]). The config says which hooks there are, the leader follows the reports, and the store keeps the state.
//!
//! Invariants: a state has a limit of its size, however many events there are; a message, once made, keeps its id and
//! its text until it is delivered or given up. Text of tenants stands in JSON strings of a message and nowhere else.

mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::state::{HookState, Pending, Standing};
use crate::id::{JobKey, JobName, TenantId};
use crate::roster::Secret;
use crate::run::{Cause, Outcome, Report};

/// What a hook can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// A run ended dead.
    Dead,
    /// A job succeeded, and was dead before.
    Recovered,
    /// A run did not start in time.
    Late,
    /// A due time has no run.
    Missing,
}

impl HookEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Dead, Self::Recovered, Self::Late, Self::Missing];

    /// The word in configs and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Recovered => "recovered",
            Self::Late => "late",
            Self::Missing => "missing",
        }
    }
}

/// A hook, as the config has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSpec {
    /// Its name, unique in the config.
    pub name: String,
    /// What it is told.
    pub on: Vec<HookEvent>,
    /// Of these tenants; empty: of all.
    pub tenants: Vec<TenantId>,
    /// Of these jobs; empty: of all.
    pub jobs: Vec<JobName>,
    /// How long after its due time a run that has not started is late.
    pub late_after: Duration,
    /// There is one message in this time at most.
    pub every: Duration,
    /// How long a delivery may take.
    pub timeout: Duration,
    /// Who is told.
    pub target: HookTarget,
}

impl HookSpec {
    /// `late_after` when config names none.
    pub const DEFAULT_LATE_AFTER: Duration = Duration::from_secs(5 * 60);
    /// `every` when config names none.
    pub const DEFAULT_EVERY: Duration = Duration::from_secs(5 * 60);
    /// `timeout` when config names none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// The longest `timeout`.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(5 * 60);

    /// Whether it is told of this job of this tenant.
    #[must_use]
    pub fn concerns(&self, tenant: &TenantId, job: &JobName) -> bool {
        (self.tenants.is_empty() || self.tenants.contains(tenant)) && (self.jobs.is_empty() || self.jobs.contains(job))
    }

    /// Whether it is told of such events.
    #[must_use]
    pub fn wants(&self, event: HookEvent) -> bool {
        self.on.contains(&event)
    }
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookTarget {
    /// An endpoint.
    Http(HookRequest),
    /// A program and its arguments, as they stand; it reads the message from its standard input.
    Command(Vec<String>),
}

/// The request that tells an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRequest {
    /// Where; the URL of a chat is a secret itself.
    pub url: Secret,
    /// The token for the `Authorization` header.
    pub bearer: Option<Secret>,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// Secrets that sign it.
    pub secrets: Vec<Secret>,
}

/// A report that a hook may want to know of.
#[derive(Clone, Debug, PartialEq)]
pub struct HookReport {
    /// The report.
    pub report: Report,
    /// Whether its job was known to be dead before the reports that were read with it.
    pub was_dead: bool,
}

/// Something that is overdue at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its job.
    pub job: JobName,
    /// When it should have started.
    pub since: jiff::Timestamp,
    /// Whether it is in the queue: then it is late, and missing otherwise.
    pub queued: bool,
}

/// Which jobs are dead, as far as some reports have been read.
#[derive(Clone, Debug, Default)]
pub struct DeadJobs(BTreeMap<i64, bool>);

impl DeadJobs {
    /// Takes note of a report, the earlier ones first. Answers whether a job that was dead has recovered with it.
    pub fn take(&mut self, read: &HookReport) -> bool {
        let key = read.report.correlation_id.job().as_i64();
        match read.report.outcome {
            Outcome::Dead => {
                self.0.insert(key, true);
                false
            }
            Outcome::Succeeded if self.0.get(&key).copied().unwrap_or(read.was_dead) => {
                self.0.insert(key, false);
                true
            }
            _ => false,
        }
    }

    /// What has changed: jobs that are dead, and jobs that are not.
    #[must_use]
    pub fn changes(&self) -> (Vec<JobKey>, Vec<JobKey>) {
        let of = |wanted: bool| {
            let keys = self.0.iter().filter(|(_, dead)| **dead == wanted);
            keys.map(|(key, _)| JobKey::from_i64(*key)).collect()
        };
        (of(true), of(false))
    }
}

/// What a report is for a hook with this patience.
pub fn events(report: &Report, recovered: bool, late_after: Duration) -> impl Iterator<Item = HookEvent> {
    let late_ms = i64::try_from(late_after.as_millis()).unwrap_or(i64::MAX);
    // Only a schedule says when a run should have been there, and only the first attempt is on its time.
    let late = report.cause == Cause::Schedule
        && report.attempt == 1
        && report.started_at.is_some()
        && report.lateness_ms > late_ms;
    let missing = report.attempt == 0 && matches!(report.outcome, Outcome::Misfired | Outcome::Expired);
    let found = [
        (HookEvent::Dead, report.outcome == Outcome::Dead),
        (HookEvent::Recovered, recovered),
        (HookEvent::Late, late),
        (HookEvent::Missing, missing),
    ];
    found.into_iter().filter(|(_, is)| *is).map(|(event, _)| event)
}
