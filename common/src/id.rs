//! Names and ids: tenants, jobs, job keys and correlation ids.
//!
//! A correlation id is *computed*, not drawn: whoever plans the launch of a scheduled run computes the same id, so
//! the id is its own uniqueness key (invariant I1). It is a UUID version 8 (RFC 9562, section 5.8):
//!
//! ```text
//!  48 bits  due time, milliseconds since 1970     (time-ordered: good for indexes)
//!   4 bits  version = 8
//!  12 bits  kind: 0 = scheduled, 4095 = backfill, 2048..=4094 = enqueued, 1..=2047 = every other cause
//!   2 bits  variant
//!  62 bits  job key
//! ```

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Why a name was refused. The text says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no characters.
    #[error("a {what} must not be empty")]
    Empty {
        /// `tenant id`, `job name`, …
        what: &'static str,
    },
    /// The name is longer than [`NAME_MAX`] bytes.
    #[error("a {what} has at most {NAME_MAX} characters, this one has {len}")]
    TooLong {
        /// `tenant id`, `job name`, …
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// The name contains something other than letters, digits, `.`, `_`, `-`.
    #[error(
        "a {what} consists of ASCII letters, digits, '.', '_' and '-', and starts with a letter or a digit; found {found:?}"
    )]
    Character {
        /// `tenant id`, `job name`, …
        what: &'static str,
        /// The first character that does not fit.
        found: char,
    },
}

/// The longest tenant id, job name, queue or plan, in bytes.
pub const NAME_MAX: usize = 64;

/// The rule for every name that reaches URLs, file names, headers, labels and logs: 1 to 64 ASCII letters, digits,
/// `.`, `_`, `-`, the first of them a letter or a digit. So no name is a path part such as `..`, an option such as
/// `-rf`, or markup.
pub(crate) fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    let Some(first) = text.chars().next() else { return Err(NameError::Empty { what }) };
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Character { what, found: first });
    }
    if let Some(found) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
        return Err(NameError::Character { what, found });
    }
    if text.len() > NAME_MAX {
        return Err(NameError::TooLong { what, len: text.len() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Checks the text against the rule for names: 1 to [`NAME_MAX`] ASCII letters, digits, `.`, `_`,
            /// `-`, starting with a letter or a digit.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                check_name($what, text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// A customer of the platform.
    TenantId, "tenant id"
);
name!(
    /// The name of a job within a tenant.
    JobName, "job name"
);
name!(
    /// A lane of work items that executors choose to serve.
    QueueName, "queue name"
);

impl Default for QueueName {
    fn default() -> Self {
        Self("default".into())
    }
}

/// The key of a job: 62 bits of SHA-256 over tenant and name, unique in the catalog.
///
/// Among a million jobs the chance of any collision is about one in ten million; the store's primary key finds it at
/// registration, and the catalog then draws the key with the next `salt`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(u64);

impl JobKey {
    const MASK: u64 = (1 << 62) - 1;

    /// The key of a job; `salt` is 0 unless an earlier salt collided.
    #[must_use]
    pub fn new(tenant: &TenantId, job: &JobName, salt: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(tenant.as_str());
        hash.update([0]); // no name contains it: ("a","bc") and ("ab","c") differ
        hash.update(job.as_str());
        if salt > 0 {
            hash.update([0]);
            hash.update(salt.to_be_bytes());
        }
        let bytes: [u8; 32] = hash.finalize().into();
        let mut head = [0; 8];
        head.copy_from_slice(&bytes[..8]);
        Self(u64::from_be_bytes(head) & Self::MASK)
    }

    /// The key as the stores keep it; never negative.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        self.0 as i64
    }

    /// The key of a stored number; the two top bits are dropped.
    #[must_use]
    pub fn from_i64(value: i64) -> Self {
        Self(value as u64 & Self::MASK)
    }

    /// The bits, for stable hashing.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobKey({:016x})", self.0)
    }
}

/// The kind of a run, the 12 bits that keep runs of one job and one millisecond apart: 0 is the scheduled run, every
/// other number is a run by trigger, backfill or redrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct RunKind(u16);

impl RunKind {
    /// The one scheduled run of a due time.
    pub const SCHEDULED: Self = Self(0);

    /// The one backfill of a due time: a second one for the same due time is the same run.
    pub const BACKFILL: Self = Self(4095);

    /// A kind for a run that no schedule and no backfill asked for: any number is folded into 1..=2047.
    #[must_use]
    pub fn unscheduled(number: u16) -> Self {
        Self(number % 2047 + 1)
    }

    /// A kind for a run that an application enqueued: any number is folded into 2048..=4094. PostgreSQL draws it by itself
    /// (`leasehold.enqueue`).
    #[must_use]
    pub fn enqueued(number: u16) -> Self {
        Self(number % 2047 + 2048)
    }

    /// Whether this is the scheduled run of its due time.
    #[must_use]
    pub fn is_scheduled(self) -> bool {
        self.0 == 0
    }
}

/// The id of a run. See the module for its layout.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CorrelationId(Uuid);

impl CorrelationId {
    /// Computes the id. Instants outside 1970..10889 do not occur: the planner stops at the year 9999.
    #[must_use]
    pub fn new(due: Timestamp, kind: RunKind, job: JobKey) -> Self {
        let millis = due.as_millisecond().max(0) as u64 & ((1 << 48) - 1);
        let high = millis << 16 | 0x8000 | u64::from(kind.0);
        let low = 0b10 << 62 | job.0;
        Self(Uuid::from_u64_pair(high, low))
    }

    /// The id as the stores keep it.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// Takes any UUID from a store; one that Leasehold did not make is simply not found there.
    #[must_use]
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The job that the run belongs to.
    #[must_use]
    pub fn job(self) -> JobKey {
        JobKey(self.0.as_u64_pair().1 & JobKey::MASK)
    }

    /// The due time, to the millisecond.
    #[must_use]
    pub fn due(self) -> Timestamp {
        let millis = (self.0.as_u64_pair().0 >> 16) as i64;
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    /// Scheduled, or one of the other kinds.
    #[must_use]
    pub fn kind(self) -> RunKind {
        RunKind((self.0.as_u64_pair().0 & 0xfff) as u16)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for CorrelationId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn key() -> JobKey {
        JobKey::new(&TenantId::new("acme").unwrap(), &JobName::new("sync-orders").unwrap(), 0)
    }

    #[test]
    fn a_correlation_id_gives_back_what_it_was_made_of() {
        let due: Timestamp = "2026-11-21T02:00:00.123Z".parse().unwrap();
        for kind in [
            RunKind::SCHEDULED,
            RunKind::BACKFILL,
            RunKind::unscheduled(0),
            RunKind::unscheduled(4094),
            RunKind::unscheduled(u16::MAX),
        ] {
            let id = CorrelationId::new(due, kind, key());
            assert_eq!((id.due(), id.kind(), id.job()), (due, kind, key()));
            assert_eq!(id.as_uuid().get_version_num(), 8);
            assert_eq!(id.as_uuid().get_variant(), uuid::Variant::RFC4122);
            assert_eq!(id.to_string().parse::<CorrelationId>().unwrap(), id);
        }
    }

    #[test]
    fn ids_sort_by_due_time_first() {
        let early =
            CorrelationId::new(Timestamp::from_second(1).unwrap(), RunKind::unscheduled(9), JobKey(JobKey::MASK));
        let late = CorrelationId::new(Timestamp::from_second(2).unwrap(), RunKind::SCHEDULED, JobKey(0));
        assert!(early < late);
    }

    #[test]
    fn the_layout_is_fixed_for_ever() {
        // Stored ids outlive a release: this literal must never change.
        let due: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let id = CorrelationId::new(due, RunKind::SCHEDULED, key());
        assert_eq!(id.to_string(), "01a1fbd4-f500-8000-ada6-ca21cd705bf4");
    }

    #[test]
    fn an_unscheduled_kind_is_neither_the_scheduled_one_nor_the_backfill() {
        for n in 0..=u16::MAX {
            let kind = RunKind::unscheduled(n);
            assert!(!kind.is_scheduled() && kind.0 < RunKind::enqueued(n).0);
            assert!((2048..4095).contains(&RunKind::enqueued(n).0), "and an enqueued one is none of these");
        }
    }

    #[test]
    fn keys_separate_tenant_and_job() {
        let key = |t, j, s| JobKey::new(&TenantId::new(t).unwrap(), &JobName::new(j).unwrap(), s);
        assert_ne!(key("a", "bc", 0), key("ab", "c", 0));
        assert_ne!(key("a", "b", 0), key("a", "b", 1));
        assert!(key("a", "b", 0).as_i64() >= 0);
        assert_eq!(JobKey::from_i64(key("a", "b", 0).as_i64()), key("a", "b", 0));
    }

    #[test]
    fn names_that_would_be_paths_options_or_markup_are_refused() {
        for bad in ["", ".", "..", "-rf", "a/b", "a b", "<b>", "a'b", "é", "a\0", &"x".repeat(65)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["acme", "ACME-2.eu_west", "7", &"x".repeat(64)] {
            assert_eq!(TenantId::new(good).unwrap().as_str(), good);
        }
    }
}
