//! What holds for any schedule and any outcomes.
#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::SignedDuration;
use proptest::prelude::*;

use super::sample::{at, cron, history, one, row};
use super::*;
use crate::definition::TimingSpec;
use crate::run::Report;

/// So many due times at most.
const MOST: usize = 400;

/// Outcomes of due times that never started may be told as rows.
const OUTCOMES: [Outcome; 6] =
    [Outcome::Succeeded, Outcome::Dead, Outcome::Misfired, Outcome::Paused, Outcome::BlackedOut, Outcome::Expired];

fn schedules() -> impl Strategy<Value = String> {
    let zones = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]);
    let crons =
        prop::sample::select(vec!["*/7 * * * *", "0 * * * *", "30 2 * * *", "15,45 1-3 * * *", "*/20 * * * * *"]);
    let one = (crons, zones).prop_map(|(expr, zone)| cron(expr, zone));
    let rate = (1_u32..200).prop_map(|minutes| format!(r#"{{"schedule":{{"rate":{{"interval":"{minutes}m"}}}}}}"#));
    let jittered = (1_u32..600).prop_map(|jitter| {
        format!(r#"{{"schedule":{{"jittered":{{"schedule":{{"rate":{{"interval":"10m"}}}},"jitter":"{jitter}s"}}}}}}"#)
    });
    prop_oneof![one, rate, jittered]
}

fn due_times(json: &str, from: Timestamp, to: Timestamp, most: usize) -> Vec<Timestamp> {
    let key = crate::id::JobKey::from_i64(7);
    let schedule = serde_json::from_str::<TimingSpec>(json).unwrap().compile(key).unwrap().schedule;
    let before = from - SignedDuration::from_nanos(1);
    let times = std::iter::successors(schedule.next_after(before), |due| schedule.next_after(*due));
    times.take_while(|due| *due < to).take(most).collect()
}

/// Reports of due times and their outcomes. Those that did not run are folded into rows, of which several grow side by
/// side, so that rows overlap and skip over others; `ends` says when one is closed.
fn fold(due: &[Timestamp], outcomes: &[usize], ends: &[bool]) -> Vec<Report> {
    let mut open: Vec<(Outcome, Vec<Timestamp>)> = Vec::new();
    let mut reports = Vec::new();
    let close = |(outcome, times): (Outcome, Vec<Timestamp>)| {
        row(times[0], times[times.len() - 1], u32::try_from(times.len()).unwrap(), outcome)
    };
    for (n, due) in due.iter().enumerate() {
        let outcome = OUTCOMES[outcomes[n % outcomes.len()]];
        if matches!(outcome, Outcome::Succeeded | Outcome::Dead) {
            reports.push(one(*due, outcome));
            continue;
        }
        match open.iter().position(|(other, _)| *other == outcome) {
            Some(place) if ends[n % ends.len()] => {
                let mut done = open.swap_remove(place);
                done.1.push(*due);
                reports.push(close(done));
            }
            Some(place) => open[place].1.push(*due),
            None => open.push((outcome, vec![*due])),
        }
    }
    reports.extend(open.into_iter().map(close));
    reports.sort_by_key(|report| report.scheduled_for);
    reports
}

proptest! {
    #[test]
    fn nothing_is_missing_until_a_row_is_removed_and_then_what_it_counted(
        json in schedules(),
        day in 0_i64..2_000,
        outcomes in prop::collection::vec(0..OUTCOMES.len(), 1..40),
        ends in prop::collection::vec(any::<bool>(), 1..40),
        removed in any::<prop::sample::Index>(),
    ) {
        let from = at("2024-01-01T00:00:00Z") + SignedDuration::from_hours(24 * day);
        let to = from + SignedDuration::from_hours(24 * 4);
        let due = due_times(&json, from, to, MOST);
        let to = if due.len() == MOST { due[MOST - 1] + SignedDuration::from_nanos(1) } else { to };
        let mut history = history(&json, from - SignedDuration::from_hours(1), to);
        history.reports = fold(&due, &outcomes, &ends);
        let ledger = compare(&history, from, to);
        prop_assert_eq!((ledger.expected, ledger.missing, ledger.unexpected), (due.len() as u64, 0, 0));
        let counted: u64 = ledger.entries.iter().map(|entry| entry.count).sum();
        prop_assert_eq!(counted, ledger.expected);
        if !history.reports.is_empty() {
            let gone = history.reports.remove(removed.index(history.reports.len()));
            let ledger = compare(&history, from, to);
            prop_assert_eq!((ledger.missing, ledger.unexpected), (u64::from(gone.count), 0), "{:?}", gone);
            prop_assert_eq!(ledger.accounted + ledger.missing, ledger.expected);
        }
    }

    /// Each due time is judged in one window only, wherever a day is cut.
    #[test]
    fn windows_add_up(
        outcomes in prop::collection::vec(0..OUTCOMES.len(), 1..40),
        ends in prop::collection::vec(any::<bool>(), 1..40),
        cut in 0_i64..86_400,
        removed in any::<prop::sample::Index>(),
    ) {
        let json = cron("*/7 * * * *", "UTC");
        let from = at("2026-11-21T00:00:00Z");
        let (middle, to) = (from + SignedDuration::from_secs(cut), from + SignedDuration::from_hours(24));
        let mut history = history(&json, from - SignedDuration::from_hours(1), to);
        history.reports = fold(&due_times(&json, from, to, MOST), &outcomes, &ends);
        history.reports.remove(removed.index(history.reports.len()));
        let whole = compare(&history, from, to);
        let parts = [compare_since(&history, from, from, middle), compare_since(&history, from, middle, to)];
        let sum = |of: fn(&Ledger) -> u64| parts.iter().map(of).sum::<u64>();
        prop_assert_eq!(sum(|ledger| ledger.expected), whole.expected);
        prop_assert_eq!(sum(|ledger| ledger.missing), whole.missing);
    }
}
