//! What a job *is* for one tenant after all layers of config are applied: its schedule and what to run.
//!
//! Definitions are content-addressed: a thousand tenants with the same settings share one stored definition, and an
//! executor that has seen an id never needs to fetch it again. Templates in a definition stay unrendered, since they
//! may depend on the run; the executor renders them at each attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::id::{JobKey, QueueName, TenantId};
use crate::retry::RetryPolicy;
use crate::schedule::{CronError, CronExpr, DstPolicy, Moment, Schedule, Window, Zone, ZoneError};

/// A tenant with the attributes that selectors and templates see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The plan it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The features it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// Its IANA time zone, if it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Zone>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

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
    /// JSON handed to the handler as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
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
}

impl Definition {
    /// The time limit of an attempt when config names none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

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
            Self::Spread { window, zone } => Schedule::Spread { window: *window, zone: zone.clone(), key },
            Self::Any(specs) => {
                Schedule::Any(specs.iter().map(|spec| spec.compile_part(job)).collect::<Result<_, _>>()?)
            }
            Self::Within { schedule, start, end } => Schedule::Within {
                schedule: Box::new(schedule.compile_part(job)?),
                start: start.as_ref().and_then(Moment::reached),
                end: end.as_ref().and_then(Moment::reached),
            },
            Self::Jittered { schedule, jitter } => {
                Schedule::Jittered { schedule: Box::new(schedule.compile_part(job)?), jitter: *jitter, key }
            }
        })
    }

    fn compile_part(&self, job: JobKey) -> Result<Schedule, ScheduleError> {
        match self {
            Self::Every { .. } => Err(ScheduleError::Delay),
            _ => self.compile(job),
        }
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
            _ => None,
        }
    }
}

/// What a run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerSpec {
    /// Sends a request; a 2xx answer is success.
    Http {
        /// `GET`, `POST`, …
        method: String,
        /// A template; values are percent-encoded.
        url: String,
        /// Templates by header name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// Starts a program, without a shell; exit status 0 is success.
    Command {
        /// The program and its arguments, each a template, never split.
        argv: Vec<String>,
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
}

impl Overlap {
    /// The number in the store.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Skip => 0,
            Self::Allow => 1,
        }
    }
}

impl FromStr for Overlap {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "skip" => Ok(Self::Skip),
            "allow" => Ok(Self::Allow),
            _ => Err(()),
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
