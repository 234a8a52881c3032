//! How a job with `http` calls its endpoint, and what an answer means.
//!
//! Owns the words that a definition stores, and the rule from the status of an answer to what becomes of the attempt. Must
//! not know how a request is sent.
//!
//! Invariants: what is not set is not written, so that a definition keeps its id when a newer version knows more; no
//! secret stands here, only where to find one.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A request, and how its answer is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSpec {
    /// `GET`, `POST`, …
    pub method: String,
    /// A template; values are percent-encoded.
    pub url: String,
    /// Templates by header name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent instead of the usual body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodySpec>,
    /// How the request is signed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<SignSpec>,
    /// What statuses mean, where that is not as usual.
    #[serde(default, skip_serializing_if = "Responses::is_default")]
    pub responses: Responses,
    /// How many redirects in a row are followed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redirects: u8,
    /// Whether 202 means that the endpoint reports the end by itself, and within which time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackSpec>,
    /// Whether its runs wait while the endpoint is down.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub breaker: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(word: &bool) -> bool {
    *word
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl HttpSpec {
    /// The most redirects that can be followed.
    pub const MAX_REDIRECTS: u8 = 10;

    /// A request without anything special.
    #[must_use]
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: BTreeMap::new(),
            body: None,
            sign: None,
            responses: Responses::default(),
            redirects: 0,
            callback: None,
            breaker: true,
        }
    }
}

/// How long an endpoint that answered 202 may take to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackSpec {
    /// How long it may be silent.
    #[serde(with = "crate::duration::text")]
    pub within: Duration,
    /// How long it may take in all, however often it says that it is alive.
    #[serde(with = "crate::duration::text")]
    pub total: Duration,
}

impl CallbackSpec {
    /// The longest that a run may stay open.
    pub const MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// For how long a run may stay open if config does not say.
    pub const DEFAULT_TOTAL: Duration = Duration::from_secs(24 * 3_600);
}

/// A body of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodySpec {
    /// A template for [`crate::template::Body`].
    pub text: String,
    /// The header `Content-Type`; it decides how values are written into the text.
    pub content_type: String,
}

impl BodySpec {
    /// The content type when config names none.
    pub const DEFAULT_TYPE: &str = "application/json";
}

/// A signature by the rules of Standard Webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignSpec {
    /// Where the secrets are, `env:NAME` or `file:PATH`, each a template whose values are names. All of them sign, in this
    /// order.
    pub secrets: Vec<String>,
}

impl SignSpec {
    /// The most secrets that sign a request: the one that is in use, and some that come and go.
    pub const MAX_SECRETS: usize = 5;
}

/// What statuses mean. A list that is not empty adds to what is usual: see [`Responses::meaning`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responses {
    /// The run has succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<Statuses>,
    /// The attempt has failed, and another one may help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<Statuses>,
    /// The run has failed: no attempt can help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fail: Vec<Statuses>,
}

/// What an answer means for the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The run has succeeded.
    Success,
    /// The attempt has failed, and another one may help.
    Retry,
    /// The run has failed: no attempt can help.
    Fail,
}

impl Meaning {
    /// All of them, in the order in which the config names them.
    pub const ALL: [Self; 3] = [Self::Success, Self::Retry, Self::Fail];

    /// The key in config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Retry => "retry",
            Self::Fail => "fail",
        }
    }
}

/// A range of statuses, the last one included. Written `404`, `500-599` or `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Statuses {
    first: u16,
    last: u16,
}

/// Why a text is no range of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusesError {
    /// Not a number, two numbers or a class.
    #[error("a status is written as in `404`, a range as in `500-599` or `5xx`")]
    Form,
    /// Not the status of an answer.
    #[error("the status of an answer is between {} and {}", Statuses::FIRST, Statuses::LAST)]
    Bounds,
    /// From large to small.
    #[error("a range goes from the smaller status to the larger one")]
    Order,
}

impl Statuses {
    /// The first status that ends a request; the ones before it announce another answer.
    pub const FIRST: u16 = 200;
    /// The last status.
    pub const LAST: u16 = 599;

    /// A range.
    ///
    /// # Errors
    /// [`StatusesError`], if there are no such statuses.
    pub const fn new(first: u16, last: u16) -> Result<Self, StatusesError> {
        if first > last {
            return Err(StatusesError::Order);
        }
        if first < Self::FIRST || last > Self::LAST {
            return Err(StatusesError::Bounds);
        }
        Ok(Self { first, last })
    }

    /// Whether the status is one of them.
    #[must_use]
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }

    fn width(self) -> u16 {
        self.last - self.first
    }

    /// Whether some statuses are in both, and neither is a smaller part of the other: which one is meant is unclear.
    #[must_use]
    pub fn conflicts_with(self, other: Self) -> bool {
        let overlap = self.first <= other.last && other.first <= self.last;
        let within = |a: Self, b: Self| a.first >= b.first && a.last <= b.last && a != b;
        overlap && !within(self, other) && !within(other, self)
    }
}

impl FromStr for Statuses {
    type Err = StatusesError;

    fn from_str(text: &str) -> Result<Self, StatusesError> {
        let number = |text: &str| match text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| StatusesError::Form),
            false => Err(StatusesError::Form),
        };
        if let Some(class) = text.strip_suffix("xx") {
            let first = number(&format!("{class}00"))?;
            return Self::new(first, first + 99);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(number(first.trim())?, number(last.trim())?)
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.width() {
            0 => write!(f, "{}", self.first),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl TryFrom<String> for Statuses {
    type Error = StatusesError;

    fn try_from(text: String) -> Result<Self, StatusesError> {
        text.parse()
    }
}

impl From<Statuses> for String {
    fn from(statuses: Statuses) -> Self {
        statuses.to_string()
    }
}

/// What statuses mean where nothing else is said: a request that was refused for what it is (4xx) is refused again, all
/// else may go better the next time.
const USUAL: [(Meaning, Statuses); 6] = [
    (Meaning::Success, Statuses { first: 200, last: 299 }),
    (Meaning::Retry, Statuses { first: 408, last: 408 }),
    (Meaning::Retry, Statuses { first: 425, last: 425 }),
    (Meaning::Retry, Statuses { first: 429, last: 429 }),
    (Meaning::Fail, Statuses { first: 400, last: 499 }),
    (Meaning::Retry, Statuses { first: 500, last: 599 }),
];

impl Responses {
    /// Whether nothing is said but what is usual.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The list of one meaning.
    #[must_use]
    pub fn of(&self, meaning: Meaning) -> &[Statuses] {
        match meaning {
            Meaning::Success => &self.success,
            Meaning::Retry => &self.retry,
            Meaning::Fail => &self.fail,
        }
    }

    /// What a status means: by the smallest range of these lists that has it; then by what is usual, the smallest range
    /// first as well. A status that is in neither, such as that of a redirect, is worth another attempt.
    #[must_use]
    pub fn meaning(&self, status: u16) -> Meaning {
        let written =
            Meaning::ALL.into_iter().flat_map(|meaning| self.of(meaning).iter().map(move |range| (meaning, *range)));
        smallest(written, status).or_else(|| smallest(USUAL.into_iter(), status)).unwrap_or(Meaning::Retry)
    }
}

fn smallest(ranges: impl Iterator<Item = (Meaning, Statuses)>, status: u16) -> Option<Meaning> {
    ranges
        .filter(|(_, range)| range.contains(status))
        .min_by_key(|(_, range)| range.width())
        .map(|(meaning, _)| meaning)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<Statuses> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn statuses_are_numbers_ranges_and_classes() {
        for (text, shown) in
            [("404", "404"), ("500-599", "500-599"), ("5xx", "500-599"), ("200 - 204", "200-204"), ("301-301", "301")]
        {
            assert_eq!(text.parse::<Statuses>().map(|range| range.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for (text, error) in [
            ("", StatusesError::Form),
            ("4", StatusesError::Form),
            ("4-5", StatusesError::Form),
            ("xx", StatusesError::Form),
            ("5XX", StatusesError::Form),
            ("+404", StatusesError::Form),
            ("200-299-300", StatusesError::Form),
            ("100", StatusesError::Bounds),
            ("1xx", StatusesError::Bounds),
            ("500-600", StatusesError::Bounds),
            ("9xx", StatusesError::Bounds),
            ("299-200", StatusesError::Order),
        ] {
            assert_eq!(text.parse::<Statuses>(), Err(error), "{text}");
        }
    }

    #[test]
    fn usually_2xx_succeeds_4xx_fails_and_the_rest_is_tried_again() {
        let usual = Responses::default();
        for (meaning, statuses) in [
            (Meaning::Success, &[200, 201, 202, 204, 299][..]),
            (Meaning::Retry, &[300, 302, 304, 408, 425, 429, 500, 502, 503, 504, 599, 600, 999]),
            (Meaning::Fail, &[400, 401, 403, 404, 407, 409, 410, 422, 424, 428, 499]),
        ] {
            for status in statuses {
                assert_eq!(usual.meaning(*status), meaning, "{status}");
            }
        }
    }

    #[test]
    fn what_is_written_goes_before_what_is_usual_and_the_smaller_range_before_the_larger() {
        let rules = Responses {
            success: ranges(&["404", "302"]),
            retry: ranges(&["409", "4xx"]),
            fail: ranges(&["410-419", "429", "500-599"]),
        };
        for (meaning, statuses) in [
            (Meaning::Success, &[200, 299, 302, 404][..]),
            (Meaning::Retry, &[400, 408, 409, 420, 499]),
            (Meaning::Fail, &[410, 419, 429, 500, 503]),
        ] {
            for status in statuses {
                assert_eq!(rules.meaning(*status), meaning, "{status}");
            }
        }
    }

    #[test]
    fn ranges_that_overlap_conflict_unless_one_is_a_part_of_the_other() {
        let conflict = |a: &str, b: &str| a.parse::<Statuses>().unwrap().conflicts_with(b.parse().unwrap());
        for (a, b) in [("404", "404"), ("400-450", "440-499"), ("5xx", "500-599")] {
            assert!(conflict(a, b) && conflict(b, a), "{a} {b}");
        }
        for (a, b) in [("404", "405"), ("404", "4xx"), ("400-410", "400-499"), ("2xx", "3xx")] {
            assert!(!conflict(a, b) && !conflict(b, a), "{a} {b}");
        }
    }

    #[test]
    fn what_an_older_version_stored_is_read_and_written_as_it_was() {
        let old = r#"{"method":"POST","url":"http://h/{{ tenant.id }}","headers":{"x-a":"b"}}"#;
        let spec: HttpSpec = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&spec).unwrap(), old);
        let plain = HttpSpec::new("GET", "http://h/");
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"method":"GET","url":"http://h/"}"#);
        let full = HttpSpec {
            body: Some(BodySpec { text: "x".to_owned(), content_type: "text/plain".to_owned() }),
            sign: Some(SignSpec { secrets: vec!["env:A".to_owned()] }),
            responses: Responses { success: ranges(&["404"]), retry: ranges(&["5xx"]), fail: Vec::new() },
            redirects: 3,
            ..plain
        };
        let json = serde_json::to_string(&full).unwrap();
        assert!(json.ends_with(r#""responses":{"success":["404"],"retry":["500-599"]},"redirects":3}"#), "{json}");
        assert_eq!(serde_json::from_str::<HttpSpec>(&json).unwrap(), full);
    }
}
