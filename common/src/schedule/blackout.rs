//! Blackouts: named times in which jobs do not run.
//!
//! Owns what a blackout is and which stretch of time it covers. Must not know: what becomes of a due time that falls
//! into one.
//!
//! A civil time counts from when clocks first show or pass it, as it does for every bound of a schedule: a time that
//! they skip begins or ends a blackout when they do so, and one that they repeat does so in the first pass. So a
//! blackout is one stretch through any change.
//!
//! Invariant: an end is later than the instant asked about. A question costs a few lookups of the zone for each
//! blackout; a chain of several costs at most [`CHAIN`] times that.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::days::Days;
use super::moment::Moment;
use super::window::Window;
use super::zone::Zone;

/// How many blackouts in a row are followed to the end of a stretch. A chain that has no end, such as a daily window of
/// 24 hours, is cut here.
const CHAIN: usize = 32;

/// A named stretch of time in which jobs do not run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blackout {
    /// Its name, for people.
    pub name: String,
    /// When it is.
    #[serde(flatten)]
    pub when: BlackoutTime,
}

/// When a [`Blackout`] is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlackoutTime {
    /// From one time to another.
    Once {
        /// The first instant.
        from: Moment,
        /// The first instant after it.
        to: Moment,
    },
    /// A part of each day, or of some.
    Daily {
        /// The part.
        window: Window,
        /// The days on which the window starts.
        #[serde(default, skip_serializing_if = "Days::are_all")]
        days: Days,
        /// On whose clocks.
        zone: Zone,
    },
}

impl Blackout {
    /// The end (exclusive) of this blackout's stretch that covers `at`, if one does.
    #[must_use]
    pub fn covering(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.when {
            BlackoutTime::Once { from, to } => {
                let end = to.reached()?;
                (at < end && from.reached()? <= at).then_some(end)
            }
            BlackoutTime::Daily { window, days, zone } => daily(*window, *days, zone.tz(), at),
        }
    }
}

fn daily(window: Window, days: Days, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let today = zone.to_datetime(at).date();
    // Yesterday's crosses midnight. Tomorrow's has begun if the clocks have since been put back to today.
    let starts = [Some(today), today.yesterday().ok(), today.tomorrow().ok()];
    let covering = |date: Date| {
        let (from, end) = window.stretch(date, zone)?;
        (from <= at && at < end).then_some(end)
    };
    starts.into_iter().flatten().filter(|date| days.contain(date.weekday())).find_map(covering)
}

/// The first of `blackouts` that covers `at`, and the end of the whole unbroken stretch that several of them make
/// together from there.
///
/// Of a chain that has no end, or one of very many parts, the end is that of a part: later than `at`, and itself
/// blacked out.
#[must_use]
pub fn blacked_out(blackouts: &[Blackout], at: Timestamp) -> Option<(&Blackout, Timestamp)> {
    let (first, mut end) = blackouts.iter().find_map(|blackout| Some((blackout, blackout.covering(at)?)))?;
    for _ in 0..CHAIN {
        let Some(later) = blackouts.iter().filter_map(|blackout| blackout.covering(end)).max() else { break };
        end = later;
    }
    Some((first, end))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn blackout(json: &str) -> Blackout {
        let blackout: Blackout = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&blackout).unwrap(), json, "what is written is read again");
        blackout
    }

    fn daily(window: &str, zone: &str) -> Blackout {
        blackout(&format!(r#"{{"name":"{window}","daily":{{"window":"{window}","zone":"{zone}"}}}}"#))
    }

    fn on(days: &str, window: &str, zone: &str) -> Blackout {
        blackout(&format!(r#"{{"name":"on","daily":{{"window":"{window}","days":{days},"zone":"{zone}"}}}}"#))
    }

    fn once(from: &str, to: &str) -> Blackout {
        blackout(&format!(r#"{{"name":"once","once":{{"from":"{from}","to":"{to}"}}}}"#))
    }

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The stretch: the instant before it and its end are outside, its first and last instants inside.
    fn is(blackout: &Blackout, from: &str, end: &str) {
        let (from, end) = (instant(from), instant(end));
        let nano = jiff::SignedDuration::from_nanos(1);
        let middle = from + end.duration_since(from) / 2;
        for at in [from, middle, end - nano] {
            assert_eq!(blackout.covering(at), Some(end), "{} at {at}", blackout.name);
        }
        for at in [from - nano, end] {
            assert_eq!(blackout.covering(at), None, "{} at {at}", blackout.name);
        }
    }

    #[test]
    fn once_is_from_one_time_to_another() {
        is(&once("2026-12-24T00:00:00Z", "2027-01-02T12:00:00Z"), "2026-12-24T00:00:00Z", "2027-01-02T12:00:00Z");
        let berlin = once("2026-12-24T00:00:00[Europe/Berlin]", "2026-12-25T00:00:00[America/New_York]");
        is(&berlin, "2026-12-23T23:00:00Z", "2026-12-25T05:00:00Z");
        // A skipped time is the change, a repeated one its first pass.
        let gap = once("2026-03-08T02:30:00[America/New_York]", "2026-11-01T01:30:00[America/New_York]");
        is(&gap, "2026-03-08T07:00:00Z", "2026-11-01T05:30:00Z");
        let backwards = once("2026-12-24T00:00:00Z", "2026-12-23T00:00:00Z");
        assert_eq!(backwards.covering(instant("2026-12-23T12:00:00Z")), None);
        assert_eq!(backwards.covering(instant("2026-12-24T00:00:00Z")), None);
    }

    #[test]
    fn a_daily_window_is_there_every_day_and_crosses_midnight() {
        let noon = daily("11:30-13:00", "Asia/Kathmandu");
        is(&noon, "2026-06-01T05:45:00Z", "2026-06-01T07:15:00Z");
        is(&noon, "2026-06-02T05:45:00Z", "2026-06-02T07:15:00Z");
        let night = daily("22:00-04:00", "America/New_York");
        is(&night, "2026-06-02T02:00:00Z", "2026-06-02T08:00:00Z");
        is(&night, "2026-06-03T02:00:00Z", "2026-06-03T08:00:00Z");
        is(&daily("22:00-24:00", "UTC"), "2026-06-02T22:00:00Z", "2026-06-03T00:00:00Z");
        let whole = daily("00:00-24:00", "UTC");
        assert_eq!(whole.covering(instant("2026-06-02T00:00:00Z")), Some(instant("2026-06-03T00:00:00Z")));
        let nearly = daily("12:01-12:00", "UTC");
        is(&nearly, "2026-06-02T12:01:00Z", "2026-06-03T12:00:00Z");
    }

    #[test]
    fn days_are_those_on_which_the_window_starts() {
        // 2026-06-05 is a Friday.
        let night = on(r#"["fri"]"#, "22:00-04:00", "UTC");
        is(&night, "2026-06-05T22:00:00Z", "2026-06-06T04:00:00Z");
        assert_eq!(night.covering(instant("2026-06-06T23:00:00Z")), None);
        assert_eq!(night.covering(instant("2026-06-05T01:00:00Z")), None);
        // It is Saturday there already.
        is(&on(r#"["sat"]"#, "00:00-24:00", "Asia/Tokyo"), "2026-06-05T15:00:00Z", "2026-06-06T15:00:00Z");
    }

    #[test]
    fn clocks_change_within_a_window() {
        let night = daily("22:00-04:00", "America/New_York");
        is(&night, "2026-03-08T03:00:00Z", "2026-03-08T08:00:00Z");
        is(&night, "2026-11-01T02:00:00Z", "2026-11-01T09:00:00Z");
        // A bound in the gap is the change; a window in the gap is empty.
        is(&daily("02:30-05:00", "America/New_York"), "2026-03-08T07:00:00Z", "2026-03-08T09:00:00Z");
        is(&daily("01:00-02:30", "America/New_York"), "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z");
        let lost = daily("02:10-02:50", "America/New_York");
        for at in ["2026-03-08T06:59:59Z", "2026-03-08T07:00:00Z", "2026-03-08T07:15:00Z"] {
            assert_eq!(lost.covering(instant(at)), None, "{at}");
        }
        // A bound that is repeated is its first pass.
        is(&daily("01:15-01:45", "America/New_York"), "2026-11-01T05:15:00Z", "2026-11-01T05:45:00Z");
        is(&daily("01:15-02:15", "America/New_York"), "2026-11-01T05:15:00Z", "2026-11-01T07:15:00Z");
        // Havana puts its clocks back from 01:00 to 00:00, Lord Howe by half an hour.
        is(&daily("23:00-00:30", "America/Havana"), "2026-11-01T03:00:00Z", "2026-11-01T04:30:00Z");
        is(&daily("01:30-02:00", "Australia/Lord_Howe"), "2026-04-04T14:30:00Z", "2026-04-04T15:30:00Z");
    }

    #[test]
    fn clocks_change_by_a_day() {
        // Samoa had no 30 December 2011. What would have ended on it ends when it is left out, and so begins.
        let night = daily("22:00-04:00", "Pacific/Apia");
        is(&on(r#"["thu"]"#, "22:00-04:00", "Pacific/Apia"), "2011-12-30T08:00:00Z", "2011-12-30T10:00:00Z");
        is(&on(r#"["fri"]"#, "22:00-04:00", "Pacific/Apia"), "2011-12-30T10:00:00Z", "2011-12-30T14:00:00Z");
        let (_, end) = blacked_out(std::slice::from_ref(&night), instant("2011-12-30T09:00:00Z")).unwrap();
        assert_eq!(end, instant("2011-12-30T14:00:00Z"));
        let noon = daily("12:00-13:00", "Pacific/Apia");
        is(&noon, "2011-12-29T22:00:00Z", "2011-12-29T23:00:00Z");
        is(&noon, "2011-12-30T22:00:00Z", "2011-12-30T23:00:00Z");
    }

    #[test]
    fn clocks_put_back_over_midnight_leave_the_window_of_the_day_that_had_begun() {
        // Goose Bay put its clocks back at 00:01, to 23:01 of the day before.
        let early = daily("00:00-06:00", "America/Goose_Bay");
        is(&early, "2010-11-07T03:00:00Z", "2010-11-07T10:00:00Z");
        // The clocks show 23:30 of the day before.
        assert_eq!(early.covering(instant("2010-11-07T03:30:00Z")), Some(instant("2010-11-07T10:00:00Z")));
    }

    #[test]
    fn several_make_one_stretch() {
        let all = [
            daily("02:00-03:00", "UTC"),
            daily("01:00-02:00", "UTC"),
            once("2026-06-01T02:30:00Z", "2026-06-01T07:00:00Z"),
            daily("03:00-04:00", "UTC"),
            daily("08:00-09:00", "UTC"),
        ];
        let at = |at: &str| blacked_out(&all, instant(at)).map(|(first, end)| (first.name.as_str(), end.to_string()));
        assert_eq!(at("2026-06-01T01:30:00Z"), Some(("01:00-02:00", "2026-06-01T07:00:00Z".to_owned())));
        assert_eq!(at("2026-06-01T02:45:00Z"), Some(("02:00-03:00", "2026-06-01T07:00:00Z".to_owned())));
        assert_eq!(at("2026-06-02T01:30:00Z"), Some(("01:00-02:00", "2026-06-02T04:00:00Z".to_owned())));
        assert_eq!(at("2026-06-01T07:00:00Z"), None);
        assert_eq!(at("2026-06-01T08:00:00Z"), Some(("08:00-09:00", "2026-06-01T09:00:00Z".to_owned())));
        assert_eq!(blacked_out(&[], instant("2026-06-01T08:00:00Z")), None);
    }

    #[test]
    fn a_weekend_is_one_stretch_and_a_chain_without_an_end_is_cut() {
        let weekend = [on(r#"["sat","sun"]"#, "00:00-24:00", "Europe/Berlin")];
        // 2026-06-06 is a Saturday.
        let (_, end) = blacked_out(&weekend, instant("2026-06-05T22:00:00Z")).unwrap();
        assert_eq!(end, instant("2026-06-07T22:00:00Z"));
        let always = [daily("00:00-12:00", "UTC"), daily("12:00-24:00", "UTC")];
        let (first, end) = blacked_out(&always, instant("2026-06-05T20:00:00Z")).unwrap();
        assert_eq!(first.name, "12:00-24:00");
        assert_eq!(end, instant("2026-06-22T00:00:00Z"), "32 halves of days later");
        assert!(blacked_out(&always, end).is_some());
    }

    #[test]
    fn the_ends_of_time_are_safe() {
        for zone in ["UTC", "Pacific/Apia", "America/New_York"] {
            let night = [daily("22:00-21:00", zone), daily("00:00-24:00", zone)];
            for at in [Timestamp::MIN, Timestamp::MAX] {
                if let Some((_, end)) = blacked_out(&night, at) {
                    assert!(end > at, "{zone}");
                }
            }
        }
    }
}
