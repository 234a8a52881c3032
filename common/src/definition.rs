//! What a job *is* for one tenant after all layers of config are applied: its schedule and what to run.
//!
//! Definitions are content-addressed: a thousand tenants with the same settings share one stored definition, and an
//! executor that has seen an id never needs to fetch it again. Templates in a definition stay unrendered, since they
//! may depend on the run; the executor renders them at each attempt.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::command::CommandSpec;
use crate::endpoint::HttpSpec;
use crate::id::{JobKey, QueueName};
use crate::limit::Limits;
use crate::retry::RetryPolicy;
use crate::schedule::{Blackout, CronError, CronExpr, DstPolicy, Moment, Schedule, Window, Zone, ZoneError};
use crate::statement::SqlStatement;
pub use crate::tenant::{Tenant, TenantDatabase};

/// The content hash of a [`Definition`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionId(Uuid);

impl DefinitionId {
    /// The id as the stores keep it.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The id of a stored value.
    #[must_use]
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Debug for DefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DefinitionId({})", self.0)
    }
}

/// All that decides when a job of one tenant runs and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// When it is due.
    pub schedule: ScheduleSpec,
    /// What it does.
    pub handler: HandlerSpec,
    /// JSON handed to the handler; as it stands unless [`Definition::templated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
    /// Whether texts in the payload are templates. Payloads that were stored before templates could stand in them are none,
    /// whatever braces they have.
    #[serde(default, skip_serializing_if = "is_default")]
    pub templated: bool,
    /// How long one attempt may take.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// What happens when a run is due while another one of this job is running.
    pub overlap: Overlap,
    /// The lane its items wait in.
    pub queue: QueueName,
    /// Items of a smaller number are claimed first.
    pub priority: i16,
    /// How many items of a job with overlap `buffer_all` wait for each other.
    #[serde(default = "default_buffer", skip_serializing_if = "is_default_buffer")]
    pub buffer: u32,
    /// What becomes of due times that passed while nobody could run them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub catch_up: CatchUp,
    /// How long running it makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
    /// When it does not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackouts: Vec<Blackout>,
    /// What becomes of due times in a blackout.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_blackout: OnBlackout,
    /// After so many dead runs in a row it pauses itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_after: Option<u32>,
    /// What the runs of this job of one tenant may use.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// What the runs of this job of all tenants together may use.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub total: Limits,
    /// Features without which a due time is recorded as gated and does not run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: BTreeSet<String>,
}

fn default_buffer() -> u32 {
    Definition::DEFAULT_BUFFER
}

fn is_default_buffer(buffer: &u32) -> bool {
    *buffer == Definition::DEFAULT_BUFFER
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Definition {
    /// The time limit of an attempt when config names none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

    /// How many items wait under `buffer_all` when config names no number.
    pub const DEFAULT_BUFFER: u32 = 100;

    /// A job with the defaults of config.
    #[must_use]
    pub fn new(schedule: ScheduleSpec, handler: HandlerSpec) -> Self {
        Self {
            schedule,
            handler,
            payload: None,
            templated: false,
            timeout: Self::DEFAULT_TIMEOUT,
            retry: RetryPolicy::default(),
            overlap: Overlap::default(),
            queue: QueueName::default(),
            priority: 0,
            buffer: Self::DEFAULT_BUFFER,
            catch_up: CatchUp::default(),
            expires: None,
            blackouts: Vec::new(),
            on_blackout: OnBlackout::default(),
            pause_after: None,
            limits: Limits::default(),
            total: Limits::default(),
            requires: BTreeSet::new(),
        }
    }

    /// Whether a tenant lacks a feature that the job requires.
    #[must_use]
    pub fn is_gated(&self, tenant: &Tenant) -> bool {
        !self.requires.is_subset(&tenant.features)
    }

    /// The part that decides when it runs.
    #[must_use]
    pub fn timing(&self) -> TimingSpec {
        TimingSpec {
            schedule: self.schedule.clone(),
            catch_up: self.catch_up,
            expires: self.expires,
            blackouts: self.blackouts.clone(),
            on_blackout: self.on_blackout,
        }
    }

    /// Whether both are due at the same times, so that what is queued of one holds for the other.
    #[must_use]
    pub fn same_due_times(&self, other: &Self) -> bool {
        self.schedule == other.schedule && self.blackouts == other.blackouts && self.on_blackout == other.on_blackout
    }

    /// The text that is stored and hashed. Maps are sorted, so equal definitions give equal texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A definition holds only strings, numbers, lists and string-keyed maps: writing it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The content hash of [`Definition::to_json`].
    #[must_use]
    pub fn id(&self) -> DefinitionId {
        let hash: [u8; 32] = Sha256::digest(self.to_json()).into();
        let mut head = [0; 16];
        head.copy_from_slice(&hash[..16]);
        DefinitionId(uuid::Builder::from_custom_bytes(head).into_uuid())
    }
}

/// What becomes of due times that passed while nobody could run them, be it that no leader or that no executor was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The latest runs, the ones before it do not.
    #[default]
    Last,
    /// One that could not start within `grace` does not run.
    Skip {
        /// How late it may start.
        #[serde(with = "crate::duration::text")]
        grace: Duration,
    },
    /// All run, one after the other, but those that are older than `within`.
    All {
        /// How late one may start.
        #[serde(with = "crate::duration::text")]
        within: Duration,
    },
}

impl CatchUp {
    /// `grace` when config names none.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(60);
    /// `within` when config names none.
    pub const DEFAULT_WITHIN: Duration = Duration::from_secs(24 * 3600);

    /// The number in the store.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Last => 0,
            Self::Skip { .. } => 1,
            Self::All { .. } => 2,
        }
    }

    /// The word in config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Skip { .. } => "skip",
            Self::All { .. } => "all",
        }
    }

    /// How late a run may start, if that is limited.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Last => None,
            Self::Skip { grace } => Some(grace),
            Self::All { within } => Some(within),
        }
    }
}

/// How long after its due time running a job makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// So long.
    After(#[serde(with = "crate::duration::text")] Duration),
    /// Until the next due time.
    Next,
}

/// What becomes of due times in a blackout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBlackout {
    /// They do not run.
    #[default]
    Skip,
    /// The last of them runs when the blackout ends.
    Defer,
}

/// The part of a definition that decides when it runs. Reads the same JSON as [`Definition`] and passes over the rest,
/// so that a handler which only newer versions know does not keep a leader from planning.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TimingSpec {
    /// When it is due.
    pub schedule: ScheduleSpec,
    /// What becomes of due times that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// How long running it makes sense.
    #[serde(default)]
    pub expires: Option<Expiry>,
    /// When it does not run.
    #[serde(default)]
    pub blackouts: Vec<Blackout>,
    /// What becomes of due times then.
    #[serde(default)]
    pub on_blackout: OnBlackout,
}

impl TimingSpec {
    /// Makes it ready for [`crate::plan`].
    pub fn compile(&self, job: JobKey) -> Result<Timing, ScheduleError> {
        Ok(Timing {
            schedule: self.schedule.compile(job)?,
            per_second: self.schedule.per_second(),
            catch_up: self.catch_up,
            expires: self.expires,
            blackouts: self.blackouts.clone(),
            on_blackout: self.on_blackout,
        })
    }
}

/// A [`TimingSpec`] that is ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// When it is due.
    pub schedule: Schedule,
    /// How many jobs of one definition start a second at most.
    pub per_second: Option<NonZeroU32>,
    /// What becomes of due times that were missed.
    pub catch_up: CatchUp,
    /// How long running it makes sense.
    pub expires: Option<Expiry>,
    /// When it does not run.
    pub blackouts: Vec<Blackout>,
    /// What becomes of due times then.
    pub on_blackout: OnBlackout,
}

impl Timing {
    /// Nothing but a schedule.
    #[must_use]
    pub fn of(schedule: Schedule) -> Self {
        Self {
            schedule,
            per_second: None,
            catch_up: CatchUp::default(),
            expires: None,
            blackouts: Vec::new(),
            on_blackout: OnBlackout::default(),
        }
    }
}

/// A schedule as it is stored: text that was checked when the config was.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleSpec {
    /// A cron expression in a zone.
    Cron {
        /// The expression as the user wrote it.
        expr: String,
        /// The IANA zone that it is read in.
        zone: Zone,
        /// What happens at daylight-saving changes.
        #[serde(default)]
        dst: DstPolicy,
    },
    /// An interval counted from the completion of the previous run.
    Every {
        /// The interval.
        #[serde(with = "crate::duration::text")]
        interval: Duration,
    },
    /// An interval on a grid, whose place is a hash of the job.
    Rate {
        /// The interval.
        #[serde(with = "crate::duration::text")]
        interval: Duration,
    },
    /// Once.
    At {
        /// When.
        at: Moment,
        /// What happens if clocks skip that time.
        #[serde(default)]
        dst: DstPolicy,
    },
    /// Once a day in a window, at a place that is a hash of the job.
    Spread {
        /// The window.
        window: Window,
        /// The IANA zone that it is read in.
        zone: Zone,
        /// How many jobs of this definition start a second at most; the leader keeps it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_second: Option<NonZeroU32>,
    },
    /// Whenever any of several is due.
    Any(Vec<ScheduleSpec>),
    /// A schedule from one time on, up to another.
    Within {
        /// The schedule.
        schedule: Box<ScheduleSpec>,
        /// The first time that may be due.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<Moment>,
        /// The first time after them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<Moment>,
        /// How many runs there are at most; the store counts them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_runs: Option<u32>,
    },
    /// A schedule with a small delay of each due time, which is a hash of the job and the time.
    Jittered {
        /// The schedule.
        schedule: Box<ScheduleSpec>,
        /// Every delay is below it.
        #[serde(with = "crate::duration::text")]
        jitter: Duration,
    },
}

/// Why a [`ScheduleSpec`] could not be compiled. Config checks refuse such text, so a stored one can only come from
/// a newer version of Leasehold.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ScheduleError {
    /// The expression.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The zone.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// A fixed delay as a part of another schedule, which could not know when it is due.
    #[error("an interval that is counted from completion cannot be a part of another schedule")]
    Delay,
}

impl ScheduleSpec {
    /// Makes the schedule ready to be asked for instants. `job` seeds what a job may spread by its own hash: see
    /// [`ScheduleSpec::is_seeded`].
    pub fn compile(&self, job: JobKey) -> Result<Schedule, ScheduleError> {
        let key = job.bits();
        Ok(match self {
            Self::Cron { expr, zone, dst } => {
                Schedule::Cron { expr: CronExpr::parse_seeded(expr, key)?, zone: zone.clone(), dst: *dst }
            }
            Self::Every { interval } => Schedule::Every { interval: *interval },
            Self::Rate { interval } => Schedule::rate(*interval, key),
            Self::At { at, dst } => Schedule::At { due: at.due(*dst) },
            Self::Spread { window, zone, .. } => Schedule::Spread { window: *window, zone: zone.clone(), key },
            Self::Any(specs) => {
                Schedule::Any(specs.iter().map(|spec| spec.compile_part(job)).collect::<Result<_, _>>()?)
            }
            // The outermost part may be a fixed delay: the planner keeps its limits.
            Self::Within { schedule, start, end, .. } => Schedule::Within {
                schedule: Box::new(schedule.compile(job)?),
                start: start.as_ref().and_then(Moment::reached),
                end: end.as_ref().and_then(Moment::reached),
            },
            Self::Jittered { schedule, jitter } => {
                Schedule::Jittered { schedule: Box::new(schedule.compile_part(job)?), jitter: *jitter, key }
            }
        })
    }

    fn compile_part(&self, job: JobKey) -> Result<Schedule, ScheduleError> {
        if self.interval().is_some() { Err(ScheduleError::Delay) } else { self.compile(job) }
    }

    /// Whether it means another schedule for each job, so that jobs which share a definition cannot share what it
    /// compiles to.
    #[must_use]
    pub fn is_seeded(&self) -> bool {
        match self {
            Self::Cron { expr, .. } => CronExpr::uses_hash(expr),
            Self::Rate { .. } | Self::Spread { .. } | Self::Jittered { .. } => true,
            Self::Any(specs) => specs.iter().any(Self::is_seeded),
            Self::Within { schedule, .. } => schedule.is_seeded(),
            Self::Every { .. } | Self::At { .. } => false,
        }
    }

    /// The interval, if due times follow from completions.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Self::Every { interval } => Some(*interval),
            Self::Within { schedule, .. } => schedule.interval(),
            _ => None,
        }
    }

    /// How many jobs that share it start a second at most.
    #[must_use]
    pub fn per_second(&self) -> Option<NonZeroU32> {
        match self {
            Self::Spread { per_second, .. } => *per_second,
            Self::Within { schedule, .. } | Self::Jittered { schedule, .. } => schedule.per_second(),
            _ => None,
        }
    }

    /// How many runs there are at most.
    #[must_use]
    pub fn max_runs(&self) -> Option<u32> {
        match self {
            Self::Within { max_runs, .. } => *max_runs,
            _ => None,
        }
    }
}

/// What a run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerSpec {
    /// Sends a request.
    Http(HttpSpec),
    /// Starts a program, without a shell; exit status 0 is success.
    Command(CommandSpec),
    /// Runs statements in the tenant's own database, one after the other and in one transaction.
    Sql {
        /// The statements.
        statements: Vec<SqlStatement>,
    },
    /// Calls a handler that the executor's binary registered.
    Named {
        /// The name it is registered by.
        name: String,
    },
}

/// Headers that frame the message or belong to the connection, in lower case: the client that sends the request writes
/// them. A config that could set them could smuggle a second request.
pub const FRAMING_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What happens to an item whose job has a run already. Held by the store (invariant I8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It ends as `overlapped`.
    #[default]
    Skip,
    /// It runs beside the other.
    Allow,
    /// It waits for the other, unless one waits already.
    BufferOne,
    /// It waits for the other, unless [`Definition::buffer`] items wait already.
    BufferAll,
    /// It waits for the other, which is cancelled, and takes the place of one that waits already.
    CancelPrevious,
}

impl Overlap {
    /// The number in the store.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Skip => 0,
            Self::Allow => 1,
            Self::BufferOne => 2,
            Self::BufferAll => 3,
            Self::CancelPrevious => 4,
        }
    }

    /// The word in config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Allow => "allow",
            Self::BufferOne => "buffer_one",
            Self::BufferAll => "buffer_all",
            Self::CancelPrevious => "cancel_previous",
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Stored by the first version. What it says, and its id, must stay.
    const STORED: [(&str, &str); 2] = [
        (
            r#"{"schedule":{"cron":{"expr":"0 2 * * *","zone":"America/New_York","dst":"once"}},"handler":{"command":{"argv":["./report.sh","{{ tenant.id }}"]}},"timeout":"5m","retry":{"attempts":3,"backoff":{"initial":"1s","max":"5m","factor":2.0}},"overlap":"skip","queue":"default","priority":0}"#,
            "00c7257c-4311-8516-bc9d-c63216513ccd",
        ),
        (
            r#"{"schedule":{"every":{"interval":"30s"}},"handler":{"named":{"name":"sync"}},"timeout":"20s","retry":{"attempts":5,"backoff":{"initial":"1s","max":"5m","factor":2.0}},"overlap":"allow","queue":"slow","priority":-5}"#,
            "c8d9d111-6b67-87ea-aef3-520d983218a4",
        ),
    ];

    #[test]
    fn what_the_first_version_stored_is_read_and_keeps_its_id() {
        for (json, id) in STORED {
            let definition: Definition = serde_json::from_str(json).unwrap();
            assert_eq!(definition.to_json(), json);
            assert_eq!(definition.id().as_uuid().to_string(), id);
        }
        let old = r#"{"cron":{"expr":"@daily","zone":"UTC"}}"#;
        let spec = ScheduleSpec::Cron { expr: "@daily".to_owned(), zone: Zone::UTC, dst: DstPolicy::Once };
        assert_eq!(serde_json::from_str::<ScheduleSpec>(old).unwrap(), spec);
    }
}
