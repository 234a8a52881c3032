//! Limits of concurrency and of rate, and the gates by which the store keeps them.
//!
//! A *gate* is one limit over all executors: of a tenant, of a job over all tenants, or of a job of one tenant. A run
//! passes every gate of its job before it starts, or it starts not at all. The store counts under a lock, so that a
//! limit is never exceeded, whoever crashes; this module only says what is allowed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::definition::{Definition, Tenant};
use crate::duration;
use crate::id::{JobKey, JobName, TenantId};
use crate::need;

/// How many runs at once, and how many starts in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// So many run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// So many start in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.concurrency.is_none() && self.rate.is_none()
    }
}

/// At most so many starts in any stretch of time of this length. Reads and writes as `60/min` or `5/30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rate {
    count: u32,
    per: Duration,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a rate; write a whole number from 1 to {}, a slash and a time, such as 60/min or 5/30s",
    Rate::MAX_COUNT
)]
pub struct RateError {
    text: String,
}

/// Words for a time of one unit.
const UNITS: [(&str, u64); 8] =
    [("s", 1), ("sec", 1), ("m", 60), ("min", 60), ("h", 3_600), ("hour", 3_600), ("d", 86_400), ("day", 86_400)];

impl Rate {
    /// The most starts in a time.
    pub const MAX_COUNT: u32 = 1_000_000;

    /// `None` unless both are more than zero and `count` is at most [`Rate::MAX_COUNT`].
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Option<Self> {
        ((1..=Self::MAX_COUNT).contains(&count) && per >= Duration::from_millis(1)).then_some(Self { count, per })
    }

    /// How many starts.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// In which time.
    #[must_use]
    pub fn per(self) -> Duration {
        self.per
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let refused = || RateError { text: text.chars().take(40).collect() };
        let (count, per) = text.split_once('/').ok_or_else(refused)?;
        let (count, per) = (count.trim(), per.trim());
        let per = match UNITS.iter().find(|(unit, _)| *unit == per) {
            Some((_, seconds)) => Duration::from_secs(*seconds),
            None => duration::parse(per).map_err(|_| refused())?,
        };
        let count = if count.bytes().all(|byte| byte.is_ascii_digit()) { count.parse().ok() } else { None };
        count.and_then(|count| Self::new(count, per)).ok_or_else(refused)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("day", 86_400)];
        match SHOWN.iter().find(|(_, seconds)| Duration::from_secs(*seconds) == self.per) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{}/{}", self.count, duration::format(self.per)),
        }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

/// The latest starts that a rate counts: a sliding window over them. It never lets more than [`Rate::count`] start in any
/// half-open stretch of [`Rate::per`].
///
/// Starts that fall into the same hundredth of the time are kept as one entry, under the latest of them: so there are
/// about a hundred entries at most, and a place comes free a hundredth of the time late at worst, and never early.
///
/// Instants are microseconds on the store's clock. A clock that went back makes it stricter, not laxer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// When, and how many; the oldest first.
    entries: Vec<(i64, u32)>,
}

impl Window {
    /// The window that a store kept: when, and how many, the oldest first.
    #[must_use]
    pub fn new(entries: Vec<(i64, u32)>) -> Self {
        Self { entries }
    }

    /// What a store keeps of it.
    #[must_use]
    pub fn entries(&self) -> &[(i64, u32)] {
        &self.entries
    }

    /// How many may start now.
    #[must_use]
    pub fn room(&self, rate: Rate, now: i64) -> u32 {
        let counted = self.entries.iter().filter(|(at, _)| leaves(*at, rate) > now);
        counted.fold(rate.count(), |room, (_, starts)| room.saturating_sub(*starts))
    }

    /// Counts so many starts now, and forgets what no longer counts.
    pub fn take(&mut self, rate: Rate, now: i64, starts: u32) {
        self.entries.retain(|(at, _)| leaves(*at, rate) > now);
        if starts == 0 {
            return;
        }
        let cell = i64::try_from(rate.per().as_micros() / 100).unwrap_or(i64::MAX).max(1);
        let at = self.entries.last().map_or(now, |(last, _)| now.max(*last));
        match self.entries.last_mut() {
            // Cells of a fixed grid: one that moved along with each start would never leave the window.
            Some(last) if last.0.div_euclid(cell) == at.div_euclid(cell) => {
                *last = (at, last.1.saturating_add(starts));
            }
            _ => self.entries.push((at, starts)),
        }
    }

    /// When the next of the starts that count now stops counting; `None` if none counts.
    #[must_use]
    pub fn next(&self, rate: Rate, now: i64) -> Option<i64> {
        self.entries.iter().map(|(at, _)| leaves(*at, rate)).find(|leaves| *leaves > now)
    }
}

/// When a start leaves the window.
fn leaves(at: i64, rate: Rate) -> i64 {
    at.saturating_add(i64::try_from(rate.per().as_micros()).unwrap_or(i64::MAX))
}

/// The id of a gate: a hash of what it limits, so that nobody has to look it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateId(i64);

impl GateId {
    /// The gate of a tenant.
    #[must_use]
    pub fn of_tenant(tenant: &TenantId) -> Self {
        Self::of("tenant", tenant.as_str().as_bytes())
    }

    /// The gate of a job over all tenants.
    #[must_use]
    pub fn of_job(job: &JobName) -> Self {
        Self::of("job", job.as_str().as_bytes())
    }

    /// The gate of a job of one tenant.
    #[must_use]
    pub fn of_tenant_job(key: JobKey) -> Self {
        Self::of("tenant-job", &key.as_i64().to_be_bytes())
    }

    /// What stands for something that an executor must be able to do: only those pass that can. It limits nothing.
    #[must_use]
    pub fn of_need(need: &str) -> Self {
        Self(-1 - (Self::of("need", need.as_bytes()).0 >> 1))
    }

    /// The gate of an endpoint, there only while its breaker is not closed.
    #[must_use]
    pub fn of_endpoint(endpoint: &str) -> Self {
        Self(i64::MIN + (Self::of("endpoint", endpoint.as_bytes()).0 >> 1))
    }

    /// Whether it stands for something that an executor must be able to do.
    #[must_use]
    pub fn is_need(self) -> bool {
        (Self::FIRST_NEED..0).contains(&self.0)
    }

    /// Whether it is the gate of an endpoint.
    #[must_use]
    pub fn is_endpoint(self) -> bool {
        self.0 < Self::FIRST_NEED
    }

    /// The least id of a need; those of endpoints are below, those of limits from zero on. Statements spell it out.
    pub const FIRST_NEED: i64 = i64::MIN / 2;

    fn of(kind: &str, what: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind);
        hash.update([0]); // no kind contains it
        hash.update(what);
        let bytes: [u8; 32] = hash.finalize().into();
        let mut head = [0; 8];
        head.copy_from_slice(&bytes[..8]);
        Self(i64::from_be_bytes(head) & i64::MAX)
    }

    /// The id as the stores keep it.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// The id of a stored value.
    #[must_use]
    pub fn from_i64(id: i64) -> Self {
        Self(id)
    }
}

/// A gate and what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Which.
    pub id: GateId,
    /// What it allows; nothing is limited: it need not be there.
    pub limits: Limits,
}

/// The gates that a job of a tenant may have, limited or not: the tenant's, the job's, and its own.
#[must_use]
pub fn possible_gates(tenant: &Tenant, job: &JobName, key: JobKey, definition: &Definition) -> [Gate; 3] {
    [
        Gate { id: GateId::of_tenant(&tenant.id), limits: tenant.limits },
        Gate { id: GateId::of_job(job), limits: definition.total },
        Gate { id: GateId::of_tenant_job(key), limits: definition.limits },
    ]
}

/// Those of [`possible_gates`] that limit anything, what the job needs of an executor, and the gate of its endpoint, in the
/// order in which the store locks them.
#[must_use]
pub fn gates(tenant: &Tenant, job: &JobName, key: JobKey, definition: &Definition) -> Vec<GateId> {
    let limited = possible_gates(tenant, job, key, definition).into_iter().filter(|gate| !gate.limits.is_none());
    let mut ids: Vec<GateId> = limited.map(|gate| gate.id).collect();
    ids.extend(need::of(&definition.handler).map(|need| GateId::of_need(&need)));
    ids.extend(need::endpoint(&definition.handler).map(|endpoint| GateId::of_endpoint(&endpoint)));
    ids.sort_unstable();
    ids
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, count, seconds, shown) in [
            ("60/min", 60, 60, "60/min"),
            ("60/m", 60, 60, "60/min"),
            ("5/30s", 5, 30, "5/30s"),
            ("1 / sec", 1, 1, "1/s"),
            ("1000000/day", 1_000_000, 86_400, "1000000/day"),
            ("10/1h", 10, 3_600, "10/h"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.count(), rate.per()), (count, Duration::from_secs(seconds)), "{text}");
            assert_eq!(rate.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rate));
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for bad in
            ["", "60", "60/", "/min", "0/min", "-1/min", "+1/min", "1.5/s", "60/fortnight", "1000001/s", "5/0s", "a/b"]
        {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }

    const SECOND: i64 = 1_000_000;

    fn per_minute(count: u32) -> Rate {
        Rate::new(count, Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn a_window_slides() {
        let (mut window, rate) = (Window::default(), per_minute(5));
        assert_eq!((window.room(rate, 0), window.next(rate, 0)), (5, None));
        window.take(rate, 0, 3);
        window.take(rate, 20 * SECOND, 2);
        assert_eq!((window.room(rate, 20 * SECOND), window.next(rate, 20 * SECOND)), (0, Some(60 * SECOND)));
        assert_eq!(window.room(rate, 60 * SECOND - 1), 0);
        // Half-open: what started at 0 is not in the minute that begins then and has just passed.
        assert_eq!((window.room(rate, 60 * SECOND), window.next(rate, 60 * SECOND)), (3, Some(80 * SECOND)));
        window.take(rate, 60 * SECOND, 1);
        assert_eq!(window.entries(), [(20 * SECOND, 2), (60 * SECOND, 1)]);
    }

    #[test]
    fn starts_that_are_close_are_one_entry_that_leaves_with_the_latest() {
        let (mut window, rate) = (Window::default(), per_minute(1_000));
        for at in 0..100 {
            window.take(rate, at * SECOND / 10, 1);
        }
        // A cell is 0.6 s, also if something starts all the time.
        assert_eq!(window.entries().len(), 17);
        assert_eq!(window.entries()[0], (SECOND / 2, 6));
    }

    #[test]
    fn a_lower_rate_and_a_clock_that_goes_back_only_make_it_stricter() {
        let mut window = Window::new(vec![(100 * SECOND, 4)]);
        assert_eq!(window.room(per_minute(3), 100 * SECOND), 0);
        assert_eq!(window.room(per_minute(5), 10 * SECOND), 1);
        window.take(per_minute(5), 10 * SECOND, 1);
        assert_eq!(window.entries(), [(100 * SECOND, 5)]);
        window.take(per_minute(5), 200 * SECOND, 0);
        assert_eq!(window.entries(), []);
    }

    proptest::proptest! {
        /// Whoever takes what there is room for never starts more than the rate allows in any half-open stretch, and is
        /// let through whenever a stretch that is a hundredth longer has room.
        #[test]
        fn no_stretch_has_more_starts_than_the_rate(
            count in 1_u32..40,
            per_ms in 1_u64..5_000,
            steps in proptest::collection::vec((0_i64..200_000, 0_u32..20), 1..300),
        ) {
            let rate = Rate::new(count, Duration::from_millis(per_ms)).unwrap();
            let per = i64::try_from(per_ms * 1_000).unwrap();
            let (mut window, mut now, mut started) = (Window::default(), 1_700_000_000_000_000_i64, Vec::new());
            let within = |started: &[(i64, u32)], from: i64, to: i64| -> u32 {
                started.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, n)| n).sum()
            };
            for (wait, wanted) in steps {
                now += wait;
                let room = window.room(rate, now);
                let before = within(&started, now - per - per / 100, now + 1);
                proptest::prop_assert!(room + before >= count, "{room} although only {before} started");
                let starts = wanted.min(room);
                window.take(rate, now, starts);
                started.push((now, starts));
                proptest::prop_assert!(window.entries().len() <= 102);
                proptest::prop_assert!(window.room(rate, now) == room - starts);
                if let Some(next) = window.next(rate, now) {
                    proptest::prop_assert!(window.room(rate, next) > window.room(rate, now));
                }
            }
            for (at, _) in &started {
                proptest::prop_assert!(within(&started, *at, at + per) <= count);
            }
        }
    }

    #[test]
    fn gates_of_different_things_differ() {
        let (tenant, job) = (TenantId::new("a").unwrap(), JobName::new("a").unwrap());
        let key = JobKey::new(&tenant, &job, 0);
        let ids = [GateId::of_tenant(&tenant), GateId::of_job(&job), GateId::of_tenant_job(key)];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert!(ids.iter().all(|id| id.as_i64() >= 0 && !id.is_need() && !id.is_endpoint()));
        for name in ["a", "b", "command", "handler:a", "h:80", "h:443"] {
            let (need, endpoint) = (GateId::of_need(name), GateId::of_endpoint(name));
            assert!(need.is_need() && !need.is_endpoint() && endpoint.is_endpoint() && !endpoint.is_need());
        }
    }
}
