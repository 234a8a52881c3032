//! Jobs and catalogs in a line: `hourly("acme/a").attempts(2)`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use leasehold_common::catalog::{Desired, DesiredJob, Recovery};
use leasehold_common::definition::{
    CatchUp, Definition, Expiry, HandlerSpec, OnBlackout, Overlap, ScheduleSpec, Tenant,
};
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::limit::Limits;
use leasehold_common::retry::RetryPolicy;
use leasehold_common::schedule::{DstPolicy, Zone};

use crate::steps::{HOUR, MINUTE};

/// A budget that no test exhausts: what is late is made up for at once, unless a test is about that.
pub const AT_ONCE: Recovery = Recovery { total: 1_000_000, per_tenant: 1_000_000 };

/// A job to put into the catalog.
#[derive(Clone, Debug)]
pub struct Job {
    /// Whose it is, and its name.
    pub path: (TenantId, JobName),
    /// What it is.
    pub definition: Definition,
}

/// Splits `tenant/job`.
#[must_use]
pub fn path(text: &str) -> (TenantId, JobName) {
    let (tenant, job) = text.split_once('/').expect("tenant/job");
    (tenant.parse().unwrap(), job.parse().unwrap())
}

/// A job with this schedule.
#[must_use]
pub fn job(at: &str, schedule: ScheduleSpec) -> Job {
    Job {
        path: path(at),
        definition: Definition {
            timeout: MINUTE,
            retry: RetryPolicy::default(),
            ..Definition::new(schedule, HandlerSpec::Named { name: "noop".to_owned() })
        },
    }
}

/// An interval job.
#[must_use]
pub fn every(at: &str, interval: Duration) -> Job {
    job(at, ScheduleSpec::Every { interval })
}

/// A cron job in UTC.
#[must_use]
pub fn cron(at: &str, expr: &str) -> Job {
    cron_in(at, expr, "UTC", DstPolicy::default())
}

/// A cron job on the clocks of a zone.
#[must_use]
pub fn cron_in(at: &str, expr: &str, zone: &str, dst: DstPolicy) -> Job {
    job(at, ScheduleSpec::Cron { expr: expr.to_owned(), zone: Zone::parse(zone).unwrap(), dst })
}

/// A cron job that is due at every full hour; the test's clock starts five minutes past one.
#[must_use]
pub fn hourly(at: &str) -> Job {
    cron(at, "0 * * * *")
}

impl Job {
    /// With this many attempts.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.definition.retry.attempts = attempts;
        self
    }

    /// With runs side by side.
    #[must_use]
    pub fn allow_overlap(self) -> Self {
        self.overlap(Overlap::Allow)
    }

    /// With this overlap policy.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.definition.overlap = overlap;
        self
    }

    /// With room for so many that wait for each other.
    #[must_use]
    pub fn buffer(mut self, buffer: u32) -> Self {
        self.definition.buffer = buffer;
        self
    }

    /// With this catch-up policy.
    #[must_use]
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.definition.catch_up = catch_up;
        self
    }

    /// All that was missed runs, up to a day later.
    #[must_use]
    pub fn catch_up_all(self) -> Self {
        self.catch_up(CatchUp::All { within: 24 * HOUR })
    }

    /// What was missed runs up to `grace` later.
    #[must_use]
    pub fn catch_up_skip(self, grace: Duration) -> Self {
        self.catch_up(CatchUp::Skip { grace })
    }

    /// With a time to live.
    #[must_use]
    pub fn expires(mut self, expires: Expiry) -> Self {
        self.definition.expires = Some(expires);
        self
    }

    /// Pauses itself after so many dead runs in a row.
    #[must_use]
    pub fn pause_after(mut self, dead: u32) -> Self {
        self.definition.pause_after = Some(dead);
        self
    }

    /// Runs so many times.
    #[must_use]
    pub fn max_runs(mut self, runs: u32) -> Self {
        let schedule = Box::new(self.definition.schedule);
        self.definition.schedule = ScheduleSpec::Within { schedule, start: None, end: None, max_runs: Some(runs) };
        self
    }

    /// Does not run in this window of each day, in UTC.
    #[must_use]
    pub fn blackout(mut self, window: &str, on_blackout: OnBlackout) -> Self {
        let blackout = format!(r#"{{"name":"freeze","daily":{{"window":"{window}","zone":"UTC"}}}}"#);
        self.definition.blackouts.push(serde_json::from_str(&blackout).unwrap());
        self.definition.on_blackout = on_blackout;
        self
    }

    /// In this queue.
    #[must_use]
    pub fn queue(mut self, name: &str) -> Self {
        self.definition.queue = name.parse().unwrap();
        self
    }

    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.definition.priority = priority;
        self
    }

    /// With these limits, for each tenant by itself.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Self {
        self.definition.limits = limits;
        self
    }

    /// With these limits over all tenants.
    #[must_use]
    pub fn total(mut self, limits: Limits) -> Self {
        self.definition.total = limits;
        self
    }

    /// For tenants with this feature.
    #[must_use]
    pub fn requires(mut self, feature: &str) -> Self {
        self.definition.requires.insert(feature.to_owned());
        self
    }

    /// With another handler: a change that leaves the schedule alone.
    #[must_use]
    pub fn handler(mut self, handler: HandlerSpec) -> Self {
        self.definition.handler = handler;
        self
    }

    /// With another timeout: a change that leaves the schedule alone.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.definition.timeout = timeout;
        self
    }
}

/// A tenant without attributes.
#[must_use]
pub fn tenant(id: &str) -> Tenant {
    Tenant::new(id.parse().unwrap())
}

/// What tests say of tenants: `tenant("acme").weighs(2).limited(at_once(5)).with("reports")`.
pub trait TenantWords {
    /// With this weight.
    #[must_use]
    fn weighs(self, weight: u32) -> Self;

    /// With these limits of all its runs together.
    #[must_use]
    fn limited(self, limits: Limits) -> Self;

    /// With this feature, too.
    #[must_use]
    fn with(self, feature: &str) -> Self;
}

impl TenantWords for Tenant {
    fn weighs(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn with(mut self, feature: &str) -> Self {
        self.features.insert(feature.to_owned());
        self
    }
}

/// So many at once.
#[must_use]
pub fn at_once(concurrency: u32) -> Limits {
    Limits { concurrency: Some(concurrency), rate: None }
}

/// So many starts in a time, as in `3/min`.
#[must_use]
pub fn rate(text: &str) -> Limits {
    Limits { concurrency: None, rate: Some(text.parse().unwrap()) }
}

/// The jobs and their tenants as a whole catalog.
#[must_use]
pub fn desired(jobs: &[Job]) -> Desired {
    desired_of(&[], jobs)
}

/// The same; these tenants are more than their ids.
#[must_use]
pub fn desired_of(known: &[Tenant], jobs: &[Job]) -> Desired {
    let mut definitions: HashMap<String, Arc<Definition>> = HashMap::new();
    let ids: BTreeSet<&TenantId> = jobs.iter().map(|job| &job.path.0).chain(known.iter().map(|t| &t.id)).collect();
    let what = |id: &TenantId| known.iter().find(|t| t.id == *id).cloned().unwrap_or_else(|| tenant(id.as_str()));
    Desired {
        tenants: ids.into_iter().map(|id| what(id).into()).collect(),
        jobs: jobs
            .iter()
            .map(|job| DesiredJob {
                tenant: job.path.0.clone(),
                name: job.path.1.clone(),
                definition: Arc::clone(
                    definitions.entry(job.definition.to_json()).or_insert_with(|| Arc::new(job.definition.clone())),
                ),
            })
            .collect(),
        recovery: AT_ONCE,
        refused: Vec::new(),
    }
}
