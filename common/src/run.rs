//! Runs and what is said of them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::id::{CorrelationId, JobName, TenantId};

/// Writes an instant as RFC 3339 in UTC with milliseconds: `2026-11-21T02:00:00.000Z`.
pub fn rfc3339<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{at:.3}"))
}

/// [`rfc3339`], or null.
pub fn rfc3339_opt<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, out),
        None => out.serialize_none(),
    }
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $type { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }

        impl $type {
            /// Every value, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number in the store. Numbers are never reused.
            #[must_use]
            pub fn code(self) -> i16 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The value of a stored number; `None` if a newer version of Leasehold wrote it.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The word that people and scripts see.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words! {
    /// Why a run exists.
    Cause {
        /// Its schedule.
        Schedule = 0 "schedule",
        /// Somebody asked for it now.
        Trigger = 1 "trigger",
        /// Somebody asked for a due time of the past.
        Backfill = 2 "backfill",
        /// An application handed it over, now or for later, with a payload of its own.
        Enqueue = 3 "enqueue",
        /// Somebody asked for another run in the place of one that died.
        Redrive = 4 "redrive",
    }
}

words! {
    /// How an attempt, or a run that never started, ended.
    Outcome {
        /// The handler said so.
        Succeeded = 0 "succeeded",
        /// This attempt failed; another one follows.
        Failed = 1 "failed",
        /// This attempt failed and none follows.
        Dead = 2 "dead",
        /// Not started: a run of the same job was still running.
        Overlapped = 3 "overlapped",
        /// Not started: nobody could run it in time, and the job's catch-up policy gave it up.
        Misfired = 4 "misfired",
        /// Ended on request, or because its job was removed before it started.
        Cancelled = 5 "cancelled",
        /// Not started: the job was paused.
        Paused = 6 "paused",
        /// Not started: it fell into a blackout.
        BlackedOut = 7 "blacked_out",
        /// Not started (again): its time to live was over.
        Expired = 8 "expired",
        /// Not started: the job's schedule was changed, or a later run took its place in line.
        Superseded = 9 "superseded",
        /// Not started: its tenant lacked a feature that the job requires.
        Gated = 10 "gated",
    }
}

impl Outcome {
    /// Whether the run is over. Terminal is absorbing (invariant I7).
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self != Self::Failed
    }
}

words! {
    /// Where a run is now.
    RunState {
        /// Fanned out or waiting for its retry; its time has not come.
        Waiting = 0 "waiting",
        /// Due, not yet claimed.
        Ready = 1 "ready",
        /// Claimed by an executor.
        Running = 2 "running",
        /// Over; its outcome says how.
        Ended = 3 "ended",
    }
}

/// A completion report: one for each ended attempt, and one (attempt 0) for each run that ended without starting.
///
/// This is the JSON that scripts rely on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Its place in the order in which reports became visible; strictly increasing, with gaps.
    pub seq: i64,
    /// The run.
    pub correlation_id: CorrelationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job's name.
    pub job: JobName,
    /// Why the run exists.
    pub cause: Cause,
    /// The nominal instant: the due time, or the moment of the trigger. Of several due times the last.
    #[serde(serialize_with = "rfc3339")]
    pub scheduled_for: Timestamp,
    /// For how many due times this report stands: more than one if they did not run for one reason. Only then it is in
    /// the JSON.
    #[serde(skip_serializing_if = "is_one")]
    pub count: u32,
    /// The first of several due times.
    #[serde(serialize_with = "rfc3339_opt", skip_serializing_if = "Option::is_none")]
    pub scheduled_from: Option<Timestamp>,
    /// The number of the attempt; 0 if the run never started.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// When the next attempt follows, if one does.
    #[serde(serialize_with = "rfc3339_opt")]
    pub next_attempt_at: Option<Timestamp>,
    /// When the attempt started, on the store's clock.
    #[serde(serialize_with = "rfc3339_opt")]
    pub started_at: Option<Timestamp>,
    /// When it ended, on the store's clock.
    #[serde(serialize_with = "rfc3339")]
    pub finished_at: Timestamp,
    /// How long the attempt took.
    pub duration_ms: Option<i64>,
    /// How long after `scheduled_for` the attempt started, or the run ended if it never started.
    pub lateness_ms: i64,
    /// The executor that ran it.
    pub executor: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// What kind of error that is, in a word for rules and scripts: `http.503`, `timeout`, `lost`.
    pub error_code: Option<String>,
    /// What the handler returned.
    pub result: Option<serde_json::Value>,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunView {
    /// The run.
    pub correlation_id: CorrelationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job's name.
    pub job: JobName,
    /// Why it exists.
    pub cause: Cause,
    /// The nominal instant.
    #[serde(serialize_with = "rfc3339")]
    pub scheduled_for: Timestamp,
    /// Where it is now.
    pub state: RunState,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
    /// Attempts so far.
    pub attempt: u32,
    /// From when it may run, while it waits.
    #[serde(serialize_with = "rfc3339_opt")]
    pub not_before: Option<Timestamp>,
    /// When the current or last attempt started.
    #[serde(serialize_with = "rfc3339_opt")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(serialize_with = "rfc3339_opt")]
    pub finished_at: Option<Timestamp>,
    /// The executor of the current or last attempt.
    pub executor: Option<String>,
    /// How much of it is done, if it says so and runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The last error.
    pub error: Option<String>,
}

/// The whole story of one run: where it stands, and a report for each attempt that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStory {
    /// Where it stands.
    #[serde(flatten)]
    pub run: RunView,
    /// What it said of itself last, if it ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The dead run in whose place it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<CorrelationId>,
    /// The run that was made in its place, if it is dead; all zeros if somebody discarded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redriven_as: Option<CorrelationId>,
    /// What was reported, oldest first.
    pub reports: Vec<Report>,
}

/// What an attempt said of itself while it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The attempt.
    pub attempt: u32,
    /// How much of it is done.
    pub percent: Option<u8>,
    /// What it is doing.
    pub message: Option<String>,
    /// The last lines of its log.
    pub log: Vec<String>,
    /// When it said so.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
}

/// The longest error or text result that is kept, in bytes.
pub const TEXT_MAX: usize = 16 * 1024;

/// Makes text from a handler fit for every store and terminal: no NUL (Postgres cannot hold one), and at most
/// [`TEXT_MAX`] bytes, of which the end is kept, since that is where the reason usually stands.
#[must_use]
pub fn clip(text: &str) -> String {
    let clean = text.replace('\0', "\u{fffd}");
    if clean.len() <= TEXT_MAX {
        return clean;
    }
    let mut start = clean.len() - TEXT_MAX;
    while !clean.is_char_boundary(start) {
        start += 1;
    }
    format!("[… {start} bytes left out] {}", &clean[start..])
}

/// The JSON text of a result that is stored: nothing for null; no NUL character, which Postgres refuses within JSON too; and if
/// it is too long, the end of it as a string, since half a JSON text is none.
#[must_use]
pub fn result_text(mut value: Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let mut text = value.to_string();
    if text.contains("\\u0000") {
        replace_nul(&mut value);
        text = value.to_string();
    }
    if text.len() > TEXT_MAX {
        let plain = if let Value::String(plain) = value { plain } else { text };
        text = Value::String(clip(&plain)).to_string();
    }
    Some(text)
}

fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(map) => {
            for (mut key, mut item) in std::mem::take(map) {
                if key.contains('\0') {
                    key = key.replace('\0', "\u{fffd}");
                }
                replace_nul(&mut item);
                map.insert(key, item);
            }
        }
        _ => {}
    }
}

/// The longest code of an error, in characters.
const CODE_MAX: usize = 64;

/// A code of an error as it is kept: at most 64 characters, without control characters and spaces.
#[must_use]
pub fn clip_code(code: &str) -> String {
    code.chars().map(|c| if c.is_control() || c.is_whitespace() { '_' } else { c }).take(CODE_MAX).collect()
}

/// What errors of one kind have in common: their code, and their message without what differs from run to run (numbers,
/// ids, quoted values). Dead letters are grouped by it; a number that is stored must mean the same tomorrow.
#[must_use]
pub fn fingerprint(code: Option<&str>, message: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(code.unwrap_or_default());
    hash.update([0]);
    // The beginning says what went wrong; further on come outputs and answers.
    let mut words = 0;
    let parts = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
    for word in message.split(parts).filter(|word| !word.is_empty()) {
        // A word with a digit is a number, an id, a time, an address, or a part of one; hexadecimal ids may lack digits.
        if word.chars().any(|c| c.is_ascii_digit()) || (word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            continue;
        }
        hash.update(word);
        hash.update([1]);
        words += 1;
        if words == FINGERPRINT_WORDS {
            break;
        }
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(head)
}

/// How many words of a message count.
const FINGERPRINT_WORDS: usize = 40;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn codes_and_words_are_one_to_one() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_code(outcome.code()), Some(*outcome));
            assert_eq!(outcome.as_str().parse::<Outcome>().unwrap(), *outcome);
        }
        assert_eq!(Outcome::from_code(999), None);
        assert!("won".parse::<Outcome>().unwrap_err().contains("succeeded"));
    }

    #[test]
    fn only_failed_is_followed_by_another_attempt() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.is_terminal(), *outcome != Outcome::Failed);
        }
    }

    #[test]
    fn fingerprints_pass_over_what_differs_from_run_to_run() {
        let print = |message| fingerprint(Some("http.500"), message);
        let first =
            print("POST http://10.0.0.1:9000/sync: answered 500: order 17 of 019aa3e1-c07b-8000-8bd5-c3a6a4f5a1b2");
        assert_eq!(
            first,
            print("POST http://10.0.0.2:9000/sync: answered 500: order 18 of 019aa3e1-ffff-8000-8bd5-deadbeefcafe")
        );
        assert_ne!(first, print("POST http://10.0.0.1:9000/sync: answered 500: customer 17 of x"));
        assert_ne!(first, fingerprint(Some("http.503"), "POST http://10.0.0.1:9000/sync: answered 500: order 17"));
        // Stored: what it is must stay.
        assert_eq!(
            fingerprint(Some("lost"), "the executor was lost"),
            fingerprint(Some("lost"), "the executor was lost 7")
        );
        assert_eq!(clip_code("a\tb c"), "a_b_c");
    }

    #[test]
    fn clipping_keeps_the_end_and_whole_characters() {
        assert_eq!(clip("a\0b"), "a\u{fffd}b");
        let long = format!("{}é!", "é".repeat(TEXT_MAX));
        let short = clip(&long);
        assert!(short.len() < TEXT_MAX + 60 && short.ends_with("é!"), "{}", short.len());
    }

    #[test]
    fn results_fit_every_store() {
        assert_eq!(result_text(Value::Null), None);
        assert_eq!(result_text(json!({ "a": [1] })).as_deref(), Some("{\"a\":[1]}"));
        let nul = result_text(json!({ "k\0": ["a\0b", { "x": "\0" }] })).unwrap_or_default();
        assert_eq!(nul, "{\"k\u{fffd}\":[\"a\u{fffd}b\",{\"x\":\"\u{fffd}\"}]}");
        let long = result_text(json!(vec![1; 20_000])).unwrap_or_default();
        assert!(
            long.len() < TEXT_MAX + 100 && serde_json::from_str::<Value>(&long).is_ok_and(|value| value.is_string())
        );
    }
}
