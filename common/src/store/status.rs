//! How the system stands, for people.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{BreakerView, HookView, SourceView, Unserved};
use crate::id::{JobName, TenantId};
use crate::lease::Leader;

/// How the system stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The store's clock.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub now: Timestamp,
    /// Who leads, or led last; null if nobody ever did or the last leader resigned.
    pub leader: Option<Leader>,
    /// Executors that were heard of lately.
    pub executors: Vec<ExecutorView>,
    /// The queue.
    pub queue: QueueView,
    /// The earliest next due time of any job.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub next_due: Option<Timestamp>,
    /// The catalog.
    pub catalog: CatalogView,
    /// The live sources of tenants, in the order of the config.
    pub roster: Vec<SourceView>,
    /// The hooks, in order of their names.
    pub hooks: Vec<HookView>,
    /// Jobs whose latest runs took longer than the time between their due times, the worst first, ten at most.
    pub slow_jobs: Vec<SlowJob>,
    /// What jobs need and no live executor can do; empty while no executor is live, or while one has not said what it can.
    pub unserved: Vec<Unserved>,
    /// Breakers that are not closed.
    pub breakers: Vec<BreakerView>,
}

/// An executor in the status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutorView {
    /// Its id.
    pub id: Uuid,
    /// Its host name.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How many runs it runs at once.
    pub slots: u32,
    /// How many it ran when last heard of.
    pub running: u32,
    /// Which queues it serves.
    pub queues: Vec<String>,
    /// Whether it has stopped claiming.
    pub draining: bool,
    /// How long ago it was last heard of.
    pub seen_ms_ago: i64,
    /// What it can do beside `http` and `sql`; null if it is of a version that does not say.
    pub abilities: Option<Vec<String>>,
}

/// The queue in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// Items that are due and wait for an executor.
    pub depth: i64,
    /// How long the oldest of them has been due; null if none waits.
    pub oldest_age_ms: Option<i64>,
    /// Items that wait for their time.
    pub waiting: i64,
    /// Runs that are claimed.
    pub running: i64,
}

/// The catalog in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CatalogView {
    /// Grows with each change.
    pub revision: i64,
    /// Active tenants.
    pub tenants: i64,
    /// Active jobs.
    pub jobs: i64,
    /// `every` jobs that are not paused and have neither a next due time nor a live run. Always 0; anything else is a
    /// bug.
    pub stalled_interval_jobs: i64,
    /// Jobs that are paused.
    pub paused: i64,
}

/// A job whose runs take longer than the time between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlowJob {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub job: JobName,
    /// What a run takes on average.
    pub duration_ms: i64,
    /// The time between two due times on average.
    pub interval_ms: i64,
}
