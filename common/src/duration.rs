//! Durations as users write them: `500ms`, `10s`, `5m`, `1h30m`, `2d`.

use std::time::Duration;

/// Why a duration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration; write a whole number with a unit, such as 500ms, 10s, 5m, 1h30m or 2d")]
pub struct DurationError {
    text: String,
}

/// Units from long to short: in `1h30m` each must be shorter than the one before.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest duration that is accepted: a hundred years. Longer is a slip, and would overflow instants.
const MAX_MS: u64 = 100 * 366 * 86_400_000;

/// Parses `500ms`, `10s`, `5m`, `1h30m`, `2d`; units from long to short, each at most once. `0s` is a duration;
/// whoever needs more than zero says so.
///
/// ```
/// # use std::time::Duration;
/// use leasehold_common::duration;
/// assert_eq!(duration::parse("1h30m"), Ok(Duration::from_secs(5400)));
/// assert!(duration::parse("5").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    parse_ms(text).map(Duration::from_millis).ok_or_else(|| DurationError { text: text.chars().take(40).collect() })
}

fn parse_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut allowed = 0; // index of the longest unit that may still come
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters])?;
        if unit < allowed {
            return None;
        }
        allowed = unit + 1;
        total = total.checked_add(number.checked_mul(UNITS[unit].1)?)?;
        rest = &rest[letters..];
    }
    (total <= MAX_MS).then_some(total)
}

/// Writes a duration so that [`parse`] reads it back (to the millisecond): `1h30m`, `500ms`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, size) in UNITS {
        if ms >= size {
            out.push_str(&format!("{}{name}", ms / size));
            ms %= size;
        }
    }
    out
}

/// `#[serde(with = "leasehold_common::duration::text")]`: a [`Duration`] as text.
pub mod text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes `1h30m`.
    pub fn serialize<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&super::format(*duration))
    }

    /// Reads `1h30m`.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(input)?;
        super::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// serde for durations that need not be there: `#[serde(with = "leasehold_common::duration::text_opt")]`.
pub mod text_opt {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes `1h30m`, or null.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::text::serialize(duration, out),
            None => out.serialize_none(),
        }
    }

    /// Reads `1h30m`, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(input)?;
        text.map(|text| super::parse(&text).map_err(serde::de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
            ("1m1ms", 60_001),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(parse(&format(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "30m1h",
            "5s5s",
            "5sec",
            "99999999999999999999s",
            "101y",
            "40000d",
            "５s",
            "5é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
