//! What holds for any bytes whatever, as one function: a fuzzer calls it, and the test in `fuzzed` does.
//!
//! The first [`HEAD`] bytes choose the zone, the policy, what is built around the schedule, and the instants to ask
//! about; the rest is the text. Whatever the text is read as, it is asked for due times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::schedule::{
    Blackout, BlackoutTime, CronError, CronExpr, Days, DstPolicy, Moment, Schedule, Window, Zone,
};

/// Bytes in front of the text.
pub(crate) const HEAD: usize = 20;

/// Zones with every kind of change.
const ZONES: [&str; 12] = [
    "UTC",
    "America/New_York",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "America/Havana",
    "America/Goose_Bay",
    "Pacific/Apia",
    "Asia/Manila",
];

/// What the head says.
struct Head {
    zone: Zone,
    policy: DstPolicy,
    around: u8,
    /// Where to ask from.
    from: Timestamp,
    /// Where between two due times to ask again, in 256ths.
    share: u8,
    key: u64,
}

impl Head {
    fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let number = |at: usize| bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (seconds, nanos) = (number(4), i32::try_from(number(12) % 1_000_000_000).ok()?);
        let zone = Zone::parse(ZONES[usize::from(bytes[0]) % ZONES.len()]).ok()?;
        // All of time now and then, else the years in which zones have rules.
        let (first, last) = match bytes[3] {
            0..16 => (Timestamp::MIN.as_second(), Timestamp::MAX.as_second()),
            _ => (-2_208_988_800, 4_102_444_800),
        };
        let second = first + i64::try_from(seconds % u64::try_from(last - first).ok()?).ok()?;
        let mut from = Timestamp::new(second, nanos).ok()?;
        // As often as not, near a change of the clocks.
        if bytes[3] >= 128
            && let Some(change) = zone.tz().following(from).next()
        {
            from = change.timestamp() + SignedDuration::new(i64::try_from(seconds % 36_000).ok()? - 18_000, nanos);
        }
        Some(Self {
            zone,
            policy: [DstPolicy::Once, DstPolicy::Skip, DstPolicy::Literal][usize::from(bytes[1]) % 3],
            around: bytes[2],
            from,
            share: bytes[19],
            key: number(12),
        })
    }

    /// The schedule, or something built around it.
    fn build(&self, schedule: Schedule) -> Schedule {
        let within = |schedule: Schedule| Schedule::Within {
            schedule: Box::new(schedule),
            start: Some(self.from + SignedDuration::from_hours(1)),
            end: self.key.is_multiple_of(2).then_some(self.from + SignedDuration::from_hours(50)),
        };
        let jittered = |schedule: Schedule| Schedule::Jittered {
            schedule: Box::new(schedule),
            jitter: Duration::from_millis(self.key % 100_000_000 + 1),
            key: self.key,
        };
        let any = |schedule: Schedule| {
            let rate = Schedule::rate(Duration::from_secs(self.key % 100_000 + 1), self.key);
            Schedule::Any(vec![rate, schedule, Schedule::At { due: Some(self.from) }])
        };
        match self.around % 8 {
            0 => within(schedule),
            1 => jittered(schedule),
            2 => any(schedule),
            3 => jittered(within(any(schedule))),
            _ => schedule,
        }
    }
}

/// Holds the engine to its laws; true if the text was read as anything.
pub(crate) fn hold(data: &[u8]) -> bool {
    let Some((head, text)) = data.split_first_chunk::<HEAD>() else { return false };
    let (Some(head), text) = (Head::read(head), String::from_utf8_lossy(text)) else { return false };
    let read = [cron(&head, &text), window(&head, &text), moment(&head, &text), days(&text), zone(&head, &text)];
    read.contains(&true)
}

fn cron(head: &Head, text: &str) -> bool {
    if let Err(error) = CronExpr::parse(text) {
        refusal(text, &error);
    }
    match CronExpr::parse_seeded(text, head.key) {
        Ok(expr) => {
            assert_eq!(expr.to_string(), text);
            assert!(!expr.describe().is_empty());
            let schedule = Schedule::Cron { expr, zone: head.zone.clone(), dst: head.policy };
            follow(head, &head.build(schedule));
            true
        }
        Err(error) => {
            refusal(text, &error);
            false
        }
    }
}

/// A refusal says which field is wrong, unless it is the whole, and where.
fn refusal(text: &str, error: &CronError) {
    let (told, _) = (error.to_string(), error.help());
    match error {
        CronError::Item { field, .. } | CronError::Character { field: Some(field), .. } => {
            assert!(told.starts_with(&format!("{field} field: ")), "{text:?}: {told}");
        }
        CronError::Character { field: None, position, .. } => {
            assert!(told.starts_with(&format!("field {position}: ")), "{text:?}: {told}");
        }
        _ => assert!(error.field().is_none() && told.len() > 20, "{text:?}: {told}"),
    }
    if let Some(span) = error.span() {
        assert!(text.get(span.clone()).is_some(), "{text:?}: {span:?} is no part of it ({told})");
    }
}

/// Due times strictly increase, are whole milliseconds, and do not depend on where one asks.
fn follow(head: &Head, schedule: &Schedule) {
    let mut last = head.from;
    for _ in 0..8 {
        let Some(next) = schedule.next_after(last) else {
            assert_eq!(schedule.next_after(Timestamp::MAX), None);
            return;
        };
        assert!(next > last, "{schedule:?}: {next} after {last}");
        assert_eq!(next.subsec_nanosecond() % 1_000_000, 0, "{schedule:?}: {next}");
        let gap = next.duration_since(last);
        let inside = last + (gap / 256) * i32::from(head.share);
        for ask in [inside, next - SignedDuration::from_nanos(1)] {
            assert_eq!(schedule.next_after(ask), Some(next), "{schedule:?}: from {ask}");
        }
        let sources = schedule.sources(next);
        let is_list = match schedule {
            Schedule::Any(_) => true,
            Schedule::Within { schedule, .. } => matches!(**schedule, Schedule::Any(_)),
            _ => false,
        };
        assert_eq!(!sources.is_empty(), is_list, "{schedule:?}: {sources:?}");
        last = next;
    }
}

fn window(head: &Head, text: &str) -> bool {
    let Ok(window) = text.parse::<Window>() else { return false };
    assert_eq!(window.to_string().parse::<Window>().as_ref(), Ok(&window));
    let schedule = Schedule::Spread { window, zone: head.zone.clone(), key: head.key };
    follow(head, &head.build(schedule));
    blackout(head, BlackoutTime::Daily { window, days: Days::ALL, zone: head.zone.clone() });
    true
}

fn moment(head: &Head, text: &str) -> bool {
    let Ok(moment) = Moment::parse(text, &head.zone) else { return false };
    assert_eq!(moment.to_string().parse::<Moment>().as_ref(), Ok(&moment));
    follow(head, &head.build(Schedule::At { due: moment.due(head.policy) }));
    blackout(head, BlackoutTime::Once { from: Moment::Instant(head.from), to: moment });
    true
}

/// From anywhere within a stretch its end is the same, and the end is outside, unless another begins there.
fn blackout(head: &Head, when: BlackoutTime) {
    let blackout = Blackout { name: "hold".to_owned(), when };
    let Some(end) = blackout.covering(head.from) else { return };
    let left = end.duration_since(head.from);
    assert!(end > head.from, "{blackout:?}: {end} from {}", head.from);
    for at in [head.from + (left / 256) * i32::from(head.share), end - SignedDuration::from_nanos(1)] {
        assert_eq!(blackout.covering(at), Some(end), "{blackout:?} at {at}");
    }
    assert!(blackout.covering(end).is_none_or(|next| next > end), "{blackout:?} at {end}");
}

fn days(text: &str) -> bool {
    match text.parse::<Days>() {
        Ok(days) => {
            assert_eq!(days.to_string().parse(), Ok(days));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn zone(head: &Head, text: &str) -> bool {
    // Now and then: the search for the name that was meant costs more than all the rest.
    if text.contains(' ') || head.around % 8 != 7 {
        return false;
    }
    match Zone::parse(text) {
        Ok(zone) => {
            assert!(zone.name().eq_ignore_ascii_case(text));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}
