//! Dead letters: runs that died and that nobody has dealt with yet.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::StoreResult;
use crate::id::{CorrelationId, JobName, TenantId};

/// Which dead letters somebody means; an empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// These runs.
    pub runs: Vec<CorrelationId>,
    /// Of these tenants.
    pub tenants: Vec<TenantId>,
    /// Of these jobs.
    pub jobs: Vec<JobName>,
    /// With these codes.
    pub codes: Vec<String>,
    /// With this error ([`crate::run::fingerprint`]).
    pub group: Option<i64>,
}

/// How many there are, and up to where: whoever acts on what was shown says the bound, and what dies meanwhile is not
/// touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadCount {
    /// How many.
    pub count: u64,
    /// The highest `seq` among them; 0 if there are none.
    pub upto: i64,
}

/// Dead letters of one job with one error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadGroup {
    /// The job.
    pub job: JobName,
    /// The code of the error, if it has one.
    pub error_code: Option<String>,
    /// What the errors have in common, as [`group_text`] writes it.
    #[serde(serialize_with = "as_text")]
    pub group: i64,
    /// How many.
    pub count: u64,
    /// Of how many tenants.
    pub tenants: u64,
    /// When the first of them died.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub first_at: Timestamp,
    /// When the last of them died.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub last_at: Timestamp,
    /// The run that died last.
    pub sample: CorrelationId,
    /// Whose it was.
    pub sample_tenant: TenantId,
    /// Its error.
    pub sample_error: Option<String>,
}

fn as_text<S: serde::Serializer>(group: &i64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&group_text(*group))
}

/// A group as people name it: 16 hexadecimal digits.
#[must_use]
pub fn group_text(group: i64) -> String {
    format!("{group:016x}")
}

/// The group that a text names.
#[must_use]
pub fn parse_group(text: &str) -> Option<i64> {
    let digits = (text.len() == 16).then_some(text)?;
    u64::from_str_radix(digits, 16).ok().map(|bits| i64::from_ne_bytes(bits.to_ne_bytes()))
}

/// What a step of a redrive did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Runs that were made.
    pub redriven: u64,
    /// Dead letters whose job is gone: they stay.
    pub gone: u64,
    /// The `seq` after which the next step goes on; `None` if nothing is left.
    pub next: Option<i64>,
}

/// Dead letters. One is dealt with once: it is redriven, or discarded.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Groups by job and error, the largest first, at most `limit`.
    async fn dead_groups(&self, filter: &DeadFilter, limit: u32) -> StoreResult<Vec<DeadGroup>>;

    /// How many there are.
    async fn dead_count(&self, filter: &DeadFilter) -> StoreResult<DeadCount>;

    /// Makes a run of its own for each of the next `limit` dead letters with a `seq` above `after` and up to `upto`: due
    /// now, for the due time of the dead one, with the job as it is today and the payload that was handed over. The dead
    /// run stays dead (invariant I7) and says what was made for it.
    async fn redrive(&self, filter: &DeadFilter, after: i64, upto: i64, limit: u32) -> StoreResult<Redriven>;

    /// Takes dead letters up to `upto` off the list. Answers how many.
    async fn discard(&self, filter: &DeadFilter, upto: i64) -> StoreResult<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_by_sixteen_digits() {
        for group in [0, 1, -1, i64::MIN, i64::MAX] {
            assert_eq!(parse_group(&group_text(group)), Some(group));
        }
        assert_eq!(parse_group("12"), None);
        assert_eq!(parse_group("zzzzzzzzzzzzzzzz"), None);
    }
}
