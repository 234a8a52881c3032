//! Instants as people type them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::duration;

/// An instant of the past: RFC 3339 with its offset, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// Exactly then.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Past {
    /// The instant as seen from `now`.
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Past {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        duration::parse(text).map(Self::Ago).map_err(|_| {
            "write an instant with its offset, as in 2026-11-21T02:00:00Z, or how long ago, as in 24h".to_owned()
        })
    }
}

/// RFC 3339 with an offset: a time without one would be somebody's local time.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write an instant with its offset, as in 2026-11-21T02:00:00Z".to_owned())
}

/// A length of time that is not zero.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(Duration::ZERO) => Err("write a length of time above zero".to_owned()),
        Ok(length) => Ok(length),
        Err(error) => Err(error.to_string()),
    }
}

/// So many in a stretch of time: `1/s`, `30/m`, `500/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    number: u32,
    unit: char,
}

impl Rate {
    /// From one to the next.
    pub(crate) fn pause(self) -> Duration {
        let seconds = match self.unit {
            's' => 1,
            'm' => 60,
            _ => 3_600,
        };
        Duration::from_secs(seconds) / self.number
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, unit)| {
            let number = number.parse().ok().filter(|number| (1..=1_000).contains(number))?;
            ["s", "m", "h"].contains(&unit).then(|| Self { number, unit: unit.chars().next().unwrap_or('s') })
        });
        parsed
            .ok_or_else(|| "write a rate from 1 to 1000 a second, minute or hour, as in 1/s, 30/m or 500/h".to_owned())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.unit)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_an_instant_or_a_length() {
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let past = |text: &str| text.parse::<Past>().map(|past| past.from(now).to_string());
        assert_eq!(past("24h").unwrap(), "2026-11-20T02:00:00Z");
        assert_eq!(past("2026-11-21T02:00:00+01:00").unwrap(), "2026-11-21T01:00:00Z");
        for text in ["2026-11-21T02:00:00", "yesterday", "", "5"] {
            assert!(past(text).unwrap_err().contains("24h"), "{text}");
        }
        assert_eq!("36500d".parse::<Past>().unwrap().from(Timestamp::MIN), Timestamp::MIN);
    }

    #[test]
    fn a_rate_is_a_pause() {
        let pause = |text: &str| text.parse::<Rate>().map(Rate::pause);
        assert_eq!(pause("1/s").unwrap(), Duration::from_secs(1));
        assert_eq!(pause("30/m").unwrap(), Duration::from_secs(2));
        assert_eq!(pause("1000/s").unwrap(), Duration::from_millis(1));
        for text in ["0/s", "1001/s", "1/d", "1", "1/", "/s", "-1/s", "1.5/s"] {
            assert!(pause(text).is_err(), "{text}");
        }
    }
}
