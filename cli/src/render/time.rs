//! Spans of time in words, short enough for a column.

use jiff::Timestamp;

/// A length of time: `340ms`, `4.2s`, `3m 20s`, `5h 12m`, `9d 4h`.
pub(crate) fn length(ms: i64) -> String {
    if ms < 0 {
        return format!("-{}", length(ms.saturating_neg()));
    }
    let seconds = ms / 1000;
    let two = |big: i64, small: i64, names: (&str, &str)| match small {
        0 => format!("{big}{}", names.0),
        _ => format!("{big}{} {small}{}", names.0, names.1),
    };
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3_600 => two(seconds / 60, seconds % 60, ("m", "s")),
        3_600..86_400 => two(seconds / 3_600, seconds % 3_600 / 60, ("h", "m")),
        _ => two(seconds / 86_400, seconds % 86_400 / 3_600, ("d", "h")),
    }
}

/// Where an instant lies as seen from `now`: `in 4.2s`, `3m 20s ago`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    match at.as_millisecond() - now.as_millisecond() {
        0 => "now".to_owned(),
        ahead @ 1.. => format!("in {}", length(ahead)),
        behind => format!("{} ago", length(-behind)),
    }
}

/// An instant to the millisecond, UTC.
pub(crate) fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// An instant with where it lies as seen from `now`, or a dash.
pub(crate) fn instant_and_relative(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{} ({})", instant(at), relative(at, now)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units_at_most() {
        let cases = [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1.0s"),
            (59_999, "59.9s"),
            (60_000, "1m"),
            (200_000, "3m 20s"),
            (3_600_000, "1h"),
            (18_720_000, "5h 12m"),
            (90_000_000, "1d 1h"),
            (-1_500, "-1.5s"),
        ];
        for (ms, text) in cases {
            assert_eq!(length(ms), text);
        }
    }

    #[test]
    fn instants_lie_ahead_or_behind() {
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let at = |text: &str| format!("2026-11-21T{text}Z").parse::<Timestamp>().unwrap();
        assert_eq!(relative(at("02:00:04.2"), now), "in 4.2s");
        assert_eq!(relative(at("01:00:00"), now), "1h ago");
        assert_eq!(relative(now, now), "now");
        assert_eq!(instant_and_relative(None, now), "-");
    }
}
