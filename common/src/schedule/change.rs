//! Clock changes, and what one of them does to an expression: for people who want to see it before it happens.
//!
//! Owns no rule: `dst` decides when an expression is due, and this says which of the times that it names were moved,
//! skipped or repeated.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::cron::CronExpr;
use super::dst::{CORRECTION, DstPolicy};
use super::zone::Zone;

/// A change of the clocks of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// When.
    pub at: Timestamp,
    /// The offset from UTC before it.
    pub before: Offset,
    /// The offset from UTC from then on.
    pub after: Offset,
}

/// What a [`ClockChange`] does to an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The due times around it.
    pub fires: Vec<Fire>,
    /// Times that the clocks skip and that do not run.
    pub skipped: Vec<DateTime>,
    /// Times that the clocks repeat and that do not run again: when the clocks show them for the second time.
    pub repeated: Vec<Timestamp>,
}

/// A due time around a [`ClockChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    /// When.
    pub at: Timestamp,
    /// Times that the clocks skip and that run then.
    pub moved_from: Vec<DateTime>,
    /// Whether the clocks show that time for the second time, and it runs for the second time.
    pub again: bool,
}

impl Zone {
    /// The changes of its clocks strictly after an instant. A change of rules that moves no clock is none.
    pub fn changes_after(&self, after: Timestamp) -> impl Iterator<Item = ClockChange> {
        self.tz().following(after).filter_map(|change| {
            let at = change.timestamp();
            let before = self.tz().to_offset(at.checked_sub(SignedDuration::from_secs(1)).ok()?);
            (before != change.offset()).then_some(ClockChange { at, before, after: change.offset() })
        })
    }
}

impl ClockChange {
    /// What the clocks would show at that moment without it.
    #[must_use]
    pub fn shown_before(&self) -> DateTime {
        self.before.to_datetime(self.at)
    }

    /// What they show.
    #[must_use]
    pub fn shown_after(&self) -> DateTime {
        self.after.to_datetime(self.at)
    }

    /// What it does to an expression in its zone, from so long before it to as long after it.
    #[must_use]
    pub fn effect(&self, expr: &CronExpr, zone: &Zone, policy: DstPolicy, reach: SignedDuration) -> Effect {
        let at = self.at.as_second();
        let (before, after) = (i64::from(self.before.seconds()), i64::from(self.after.seconds()));
        let mut effect = Effect { fires: self.fires(expr, zone, policy, reach), ..Effect::default() };
        let lost = || times(expr, at + before, at + after).map(civil);
        if policy == DstPolicy::Once && !expr.follows_clock() && after - before < CORRECTION {
            if let Some(fire) = effect.fires.iter_mut().find(|fire| fire.at == self.at) {
                fire.moved_from = lost().collect();
            }
        } else {
            effect.skipped = lost().collect();
        }
        for second in times(expr, at + after, at + before).map(|time| time - after) {
            match effect.fires.binary_search_by_key(&second, |fire| fire.at.as_second()) {
                Ok(found) => effect.fires[found].again = true,
                Err(_) => effect.repeated.extend(Timestamp::from_second(second)),
            }
        }
        effect
    }

    fn fires(&self, expr: &CronExpr, zone: &Zone, policy: DstPolicy, reach: SignedDuration) -> Vec<Fire> {
        let from = self.at.checked_sub(reach).unwrap_or(Timestamp::MIN);
        let until = self.at.checked_add(reach).unwrap_or(Timestamp::MAX);
        let next = |after: Timestamp| expr.next_after(after, zone.tz(), policy).filter(|due| *due <= until);
        std::iter::successors(next(super::just_before(from)), |due| next(*due))
            .map(|at| Fire { at, moved_from: Vec::new(), again: false })
            .collect()
    }
}

/// The times that an expression names from one civil second up to another.
fn times(expr: &CronExpr, from: i64, until: i64) -> impl Iterator<Item = i64> {
    let next = move |from: i64| if from < until { expr.civil_at_or_after(from) } else { None };
    std::iter::successors(next(from), move |time| next(time + 1)).take_while(move |time| *time < until)
}

/// A civil second as a date and time.
fn civil(second: i64) -> DateTime {
    Timestamp::from_second(second).map_or(DateTime::MAX, |at| Offset::UTC.to_datetime(at))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn effect(text: &str, name: &str, after: &str, policy: DstPolicy) -> (ClockChange, String) {
        let (expr, zone): (CronExpr, _) = (text.parse().unwrap(), Zone::parse(name).unwrap());
        let change = zone.changes_after(after.parse().unwrap()).next().unwrap();
        let effect = change.effect(&expr, &zone, policy, SignedDuration::from_hours(3));
        let list = |times: &[DateTime]| times.iter().map(|t| t.strftime("%H:%M").to_string()).collect::<Vec<_>>();
        let fires = effect.fires.iter().map(|fire| {
            let from = if fire.moved_from.is_empty() {
                String::new()
            } else {
                format!(" from {}", list(&fire.moved_from).join("+"))
            };
            format!("{}{from}{}", fire.at.strftime("%H:%MZ"), if fire.again { " again" } else { "" })
        });
        let mut told = fires.collect::<Vec<_>>();
        told.extend(list(&effect.skipped).iter().map(|time| format!("{time} skipped")));
        told.extend(effect.repeated.iter().map(|at| format!("{} repeated", at.strftime("%H:%MZ"))));
        (change, told.join(", "))
    }

    #[test]
    fn what_is_moved_skipped_and_repeated_is_told() {
        const ONCE: DstPolicy = DstPolicy::Once;
        const SKIP: DstPolicy = DstPolicy::Skip;
        const LITERAL: DstPolicy = DstPolicy::Literal;
        let (spring, autumn) = ("2027-01-01T00:00:00Z", "2027-07-01T00:00:00Z");
        // 2027-03-28 01:00Z: 02:00 is 03:00. 2027-10-31 01:00Z: 03:00 is 02:00.
        for (text, after, policy, told) in [
            ("30 2 * * *", spring, ONCE, "01:00Z from 02:30"),
            ("30 2 * * *", spring, SKIP, "02:30 skipped"),
            ("30 2 * * *", spring, LITERAL, "02:30 skipped"),
            ("0,30 2,3 * * *", spring, ONCE, "01:00Z from 02:00+02:30, 01:30Z"),
            ("0,30 2,3 * * *", spring, SKIP, "01:00Z, 01:30Z, 02:00 skipped, 02:30 skipped"),
            ("30 * * * *", spring, ONCE, "22:30Z, 23:30Z, 00:30Z, 01:30Z, 02:30Z, 03:30Z, 02:30 skipped"),
            ("0 3 * * *", spring, ONCE, "01:00Z"),
            ("0 12 * * *", spring, ONCE, ""),
            ("30 2 * * *", autumn, ONCE, "00:30Z, 01:30Z repeated"),
            ("30 2 * * *", autumn, SKIP, "00:30Z, 01:30Z repeated"),
            ("30 2 * * *", autumn, LITERAL, "00:30Z, 01:30Z again"),
            ("0 2,3 * * *", autumn, ONCE, "00:00Z, 02:00Z, 01:00Z repeated"),
            ("0 */2 * * *", autumn, ONCE, "22:00Z, 00:00Z, 01:00Z again, 03:00Z"),
        ] {
            assert_eq!(effect(text, "Europe/Berlin", after, policy).1, told, "{text} after {after}, {policy:?}");
        }
    }

    #[test]
    fn a_correction_moves_nothing() {
        let (change, told) = effect("0 12 * * *", "Pacific/Apia", "2011-12-01T00:00:00Z", DstPolicy::Once);
        assert_eq!(told, "12:00 skipped");
        assert_eq!(change.shown_before().to_string(), "2011-12-30T00:00:00");
        assert_eq!(change.shown_after().to_string(), "2011-12-31T00:00:00");
    }

    #[test]
    fn changes_are_those_of_the_clocks() {
        let days = |name: &str, after: &str| {
            let zone = Zone::parse(name).unwrap();
            let changes = zone.changes_after(after.parse().unwrap()).take(2);
            changes.map(|change| change.at.strftime("%Y-%m-%d").to_string()).collect::<Vec<_>>()
        };
        assert_eq!(days("Europe/Berlin", "2027-03-28T01:00:00Z"), ["2027-10-31", "2028-03-26"]);
        assert!(days("Asia/Tokyo", "2027-01-01T00:00:00Z").is_empty());
        assert!(days("UTC", "1970-01-01T00:00:00Z").is_empty());
        // Nuuk changed its rules on 2023-10-29, and not its clocks.
        assert_eq!(days("America/Nuuk", "2023-04-01T00:00:00Z"), ["2024-03-31", "2024-10-27"]);
    }
}
