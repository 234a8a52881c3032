#![expect(clippy::unwrap_used, reason = "tests")]

use super::sample::{at, cron, history, minutes, one, row, version};
use super::*;
use crate::store::Pause;

/// Expected, accounted for, pending, missing, unexpected.
fn sums(ledger: &Ledger) -> [u64; 5] {
    [ledger.expected, ledger.accounted, ledger.pending, ledger.missing, ledger.unexpected]
}

/// First, last, how many, what.
fn short(ledger: &Ledger) -> Vec<(String, String, u64, &'static str)> {
    let time = |at: Timestamp| at.strftime("%H:%M").to_string();
    let line = |entry: &Entry| (time(entry.from), time(entry.to), entry.count, entry.outcome.as_str());
    ledger.entries.iter().map(line).collect()
}

fn entry(from: &str, to: &str, count: u64, what: &'static str) -> (String, String, u64, &'static str) {
    (from.to_owned(), to.to_owned(), count, what)
}

/// Every minute from 02:00 on, in force long before, seen at 02:10:30.
fn every_minute() -> JobHistory {
    let mut history = history(&cron("* * * * *", "UTC"), at("00:00:00"), at("02:10:30"));
    history.reports.extend(minutes("02:00:00", "02:03:00", Outcome::Succeeded));
    history.reports.push(row(at("02:04:00"), at("02:08:00"), 5, Outcome::Misfired));
    history.reports.push(one(at("02:09:00"), Outcome::Dead));
    history.live.push((at("02:10:00"), RunState::Running));
    history
}

fn compared(history: &JobHistory) -> Ledger {
    compare(history, at("02:00:00"), at("03:00:00"))
}

#[test]
fn all_is_accounted_for() {
    let ledger = compared(&every_minute());
    assert_eq!(sums(&ledger), [11, 11, 0, 0, 0]);
    assert!(ledger.is_whole());
    assert_eq!((ledger.basis, ledger.clamped_from, ledger.truncated_at), (Basis::Schedule, None, None));
    let entries = [
        entry("02:00", "02:03", 4, "succeeded"),
        entry("02:04", "02:08", 5, "misfired"),
        entry("02:09", "02:09", 1, "dead"),
        entry("02:10", "02:10", 1, "running"),
    ];
    assert_eq!(short(&ledger), entries);
    assert_eq!((ledger.entries[0].lateness_ms, ledger.entries[0].version), (Some(20), Some(1)));
    assert_eq!(ledger.entries[1].detail.as_deref(), Some("it is misfired"));
}

#[test]
fn what_is_deleted_is_missing_with_its_time() {
    let mut history = every_minute();
    history.reports.remove(2);
    let ledger = compared(&history);
    assert_eq!(sums(&ledger), [11, 10, 0, 1, 0]);
    assert_eq!(ledger.missing_times, [at("02:02:00")]);
    assert!(!ledger.is_whole());
    assert_eq!(short(&ledger)[1], entry("02:02", "02:02", 1, "missing"));

    let mut history = every_minute();
    history.reports.remove(4);
    let ledger = compared(&history);
    assert_eq!(sums(&ledger), [11, 6, 0, 5, 0]);
    assert_eq!(ledger.missing_times[0], at("02:04:00"));
    assert_eq!(short(&ledger)[1], entry("02:04", "02:08", 5, "missing"));

    let mut history = every_minute();
    history.live.clear();
    assert_eq!(compared(&history).missing_times, [at("02:10:00")]);
}

#[test]
fn a_row_that_counts_too_few_is_named_and_one_that_counts_too_many_is_no_error() {
    let mut history = every_minute();
    history.reports[4].count = 3;
    let ledger = compared(&history);
    assert_eq!(sums(&ledger), [11, 9, 0, 2, 0]);
    let missing = ledger.entries.iter().find(|entry| entry.outcome == Standing::Missing).unwrap();
    let why =
        "the row from 2026-11-21T02:04:00.000Z to 2026-11-21T02:08:00.000Z counts 3 as misfired, and more were due";
    assert_eq!(missing.detail.as_deref(), Some(why));

    history.reports[4].count = 7;
    let ledger = compared(&history);
    assert_eq!(sums(&ledger), [11, 11, 0, 0, 2]);
    let surplus = ledger.entries.iter().find(|entry| entry.unexpected).unwrap();
    assert_eq!((surplus.count, surplus.detail.as_deref()), (2, Some("its row counts 7, and 5 were due")));
}

#[test]
fn rows_skip_over_what_ran_and_overlap_each_other() {
    let mut history = history(&cron("* * * * *", "UTC"), at("00:00:00"), at("02:09:30"));
    history.reports.extend([
        row(at("02:00:00"), at("02:06:00"), 4, Outcome::Misfired),
        one(at("02:02:00"), Outcome::Succeeded),
        row(at("02:03:00"), at("02:09:00"), 4, Outcome::Expired),
        one(at("02:05:00"), Outcome::Succeeded),
    ]);
    assert_eq!(sums(&compared(&history)), [10, 10, 0, 0, 0]);
    history.reports[0].count = 3;
    assert_eq!(sums(&compared(&history)), [10, 9, 0, 1, 0]);
}

#[test]
fn an_edit_in_the_middle_changes_what_is_expected() {
    let mut history = history(&cron("* * * * *", "UTC"), at("00:00:00"), at("02:40:00"));
    history.versions = vec![
        (version(1, at("00:00:00"), Some(at("02:03:30"))), cron("* * * * *", "UTC")),
        (version(2, at("02:03:30"), None), cron("*/10 * * * *", "UTC")),
    ];
    history.reports.extend(minutes("02:00:00", "02:03:00", Outcome::Succeeded));
    history.reports.extend(minutes("02:04:00", "02:04:00", Outcome::Superseded));
    for due in ["02:10:00", "02:20:00", "02:30:00", "02:40:00"] {
        history.reports.push(one(at(due), Outcome::Succeeded));
    }
    let ledger = compared(&history);
    assert_eq!(sums(&ledger), [8, 8, 0, 0, 1], "02:04 was queued ahead, and the edit took it away");
    let numbers: Vec<_> = ledger.entries.iter().map(|entry| (entry.version, entry.count)).collect();
    assert_eq!(numbers, [(Some(1), 4), (None, 1), (Some(2), 4)]);
    history.reports.remove(5);
    assert_eq!(compared(&history).missing_times, [at("02:10:00")]);
}

#[test]
fn between_two_lives_of_a_job_nothing_is_expected() {
    let mut history = history(&cron("* * * * *", "UTC"), at("00:00:00"), at("02:30:00"));
    history.versions = vec![
        (version(1, at("00:00:00"), Some(at("02:02:00"))), cron("* * * * *", "UTC")),
        (version(2, at("02:28:00"), Some(at("02:29:00"))), cron("* * * * *", "UTC")),
    ];
    history.active = false;
    history.reports.extend(minutes("02:00:00", "02:02:00", Outcome::Succeeded));
    assert_eq!(compared(&history).missing_times, [at("02:29:00")]);
}

#[test]
fn what_the_leader_has_not_recorded_yet_is_not_missing() {
    let mut history = history(&cron("* * * * *", "UTC"), at("00:00:00"), at("02:06:30"));
    history.reports.extend(minutes("02:00:00", "02:01:00", Outcome::Succeeded));
    history.accounted = at("02:01:00");
    history.pause = Some(Pause { at: at("02:03:00"), until: Timestamp::MAX });
    let ledger = compared(&history);
    assert_eq!(sums(&ledger), [7, 6, 1, 0, 0]);
    let entries = [
        entry("02:00", "02:01", 2, "succeeded"),
        entry("02:02", "02:02", 1, "pending"),
        entry("02:03", "02:06", 4, "paused"),
    ];
    assert_eq!(short(&ledger), entries);
    assert!(ledger.entries[2].open && ledger.is_whole());

    history.accounted = at("02:03:00");
    assert_eq!(compared(&history).missing_times, [at("02:02:00"), at("02:03:00")], "a pause excuses nothing before");
    history.reports.extend(minutes("02:02:00", "02:03:00", Outcome::Paused));
    assert_eq!(
        short(&compared(&history))[1..],
        [entry("02:02", "02:03", 2, "paused"), entry("02:04", "02:06", 3, "paused")]
    );
}

#[test]
fn an_open_blackout_is_named() {
    let json = r#"{"schedule":{"cron":{"expr":"0 * * * *","zone":"UTC"}},"on_blackout":"defer",
        "blackouts":[{"name":"night","daily":{"window":"01:30-05:30","zone":"UTC"}}]}"#;
    let mut history = history(json, at("00:00:00"), at("04:10:00"));
    history.accounted = at("01:00:00");
    history.reports.push(one(at("01:00:00"), Outcome::Succeeded));
    let ledger = compare(&history, at("01:00:00"), at("06:00:00"));
    assert_eq!(sums(&ledger), [4, 4, 0, 0, 0]);
    let open = &ledger.entries[1];
    assert_eq!((open.count, open.open, open.outcome.as_str()), (3, true, "blacked_out"));
    assert_eq!(open.detail.as_deref(), Some("night: recorded when it ends, and the last of them runs then"));
}

fn three_runs(from: &str, now: &str) -> JobHistory {
    let json = r#"{"schedule":{"within":{"schedule":{"cron":{"expr":"* * * * *","zone":"UTC"}},"max_runs":3}}}"#;
    let mut history = history(json, at(from), at(now));
    (history.next_due, history.accounted) = (None, at("02:05:00"));
    history.reports.push(row(at("02:01:00"), at("02:02:00"), 2, Outcome::Misfired));
    history.reports.extend(minutes("02:03:00", "02:05:00", Outcome::Succeeded));
    history
}

#[test]
fn a_limit_of_runs_counts_runs_and_nothing_else() {
    let mut history = three_runs("02:00:30", "02:30:00");
    assert_eq!(sums(&compared(&history)), [5, 5, 0, 0, 0]);
    history.reports.remove(2);
    assert_eq!(compared(&history).missing_times, [at("02:04:00")]);
    history.reports.push(one(at("02:06:00"), Outcome::Succeeded));
    assert_eq!(sums(&compared(&history)), [5, 4, 0, 1, 1]);
}

#[test]
fn a_run_that_misfired_in_the_queue_counts_too() {
    let mut history = three_runs("02:00:30", "02:30:00");
    history.reports[2] = one(at("02:04:00"), Outcome::Misfired);
    assert_eq!(sums(&compared(&history)), [5, 5, 0, 0, 0]);
    // The version that is over is not planned from any longer, so its rest may have been a run or not.
    history.versions[0].0.valid_to = Some(at("02:20:00"));
    assert_eq!(sums(&compared(&history)), [5, 5, 0, 0, 0]);
}

#[test]
fn a_limit_of_runs_is_known_from_the_first_one_on() {
    let history = three_runs("02:00:30", "02:30:00");
    let from = at("02:05:00");
    assert_eq!(reaches_back(&history, from, at("03:00:00")), at("02:00:30"));
    let ledger = compare_since(&history, at("02:00:30"), from, at("03:00:00"));
    assert_eq!(sums(&ledger), [1, 1, 0, 0, 0]);
    // What is not known is not held against it.
    assert_eq!(sums(&compare(&history, from, at("03:00:00"))), [1, 1, 0, 0, 0]);
}

#[test]
fn versions_with_the_same_due_times_share_their_limit() {
    let mut history = three_runs("02:00:30", "02:30:00");
    let json = history.versions[0].1.clone();
    history.versions[0].0.valid_to = Some(at("02:04:30"));
    history.versions.push((version(2, at("02:04:30"), None), json));
    assert_eq!(sums(&compared(&history)), [5, 5, 0, 0, 0]);
    let numbers: Vec<_> = compared(&history).entries.iter().map(|entry| (entry.version, entry.count)).collect();
    assert_eq!(numbers, [(Some(1), 2), (Some(1), 2), (Some(2), 1)]);
    history.reports.pop();
    assert_eq!(compared(&history).missing_times, [at("02:05:00")]);
}

#[test]
fn a_job_that_comes_back_has_all_its_runs_again() {
    let mut history = three_runs("02:00:30", "02:30:00");
    let json = history.versions[0].1.clone();
    history.versions[0].0.valid_to = Some(at("02:05:30"));
    history.versions.push((version(2, at("02:10:30"), None), json));
    history.reports.extend(minutes("02:11:00", "02:13:00", Outcome::Succeeded));
    history.accounted = at("02:13:00");
    assert_eq!(sums(&compared(&history)), [8, 8, 0, 0, 0]);
}

#[test]
fn due_times_in_a_pause_are_no_runs() {
    let mut history = three_runs("02:00:30", "02:30:00");
    history.reports[0].outcome = Outcome::Paused;
    assert_eq!(sums(&compared(&history)), [5, 5, 0, 0, 0]);
}

#[test]
fn a_schedule_that_stopped_before_its_limit_is_not_over() {
    let mut history = three_runs("02:00:30", "02:08:30");
    history.reports.remove(0);
    history.reports.pop();
    history.accounted = at("02:04:00");
    history.versions[0].0.valid_from = at("02:02:30");
    // The third run is not there, and nobody will start it.
    assert_eq!(sums(&compared(&history)), [3, 2, 0, 1, 0]);
}

#[test]
fn a_limit_that_was_reached_long_ago_costs_nothing() {
    let mut history = three_runs("02:00:30", "2036-11-21T00:00:00Z");
    history.reports[2] = one(at("02:04:00"), Outcome::Misfired);
    let ledger = compare_since(&history, at("02:00:00"), at("02:00:00"), history.now);
    assert_eq!((sums(&ledger), ledger.truncated_at), ([5, 5, 0, 0, 0], None));
}

#[test]
fn clocks_that_change_add_and_remove_no_due_times() {
    let json = cron("30 2 * * *", "Europe/Berlin");
    for (from, now, due) in [
        (
            "2026-03-28T00:00:00Z",
            "2026-03-31T00:00:00Z",
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        (
            "2026-10-24T00:00:00Z",
            "2026-10-27T00:00:00Z",
            ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
    ] {
        let mut history = history(&json, at(from), at(now));
        history.reports.extend(due.map(|due| one(at(due), Outcome::Succeeded)));
        assert_eq!(sums(&compare(&history, at(from), at(now))), [3, 3, 0, 0, 0], "{from}");
        history.reports.remove(1);
        assert_eq!(compare(&history, at(from), at(now)).missing_times, [at(due[1])]);
    }
}

#[test]
fn schedules_of_a_list_are_named() {
    let json = r#"{"schedule":{"any":[{"cron":{"expr":"*/10 * * * *","zone":"UTC"}},{"cron":{"expr":"*/15 * * * *","zone":"UTC"}}]}}"#;
    let mut history = history(json, at("00:00:00"), at("02:31:00"));
    for due in ["02:00:00", "02:10:00", "02:15:00", "02:20:00", "02:30:00"] {
        history.reports.push(one(at(due), Outcome::Succeeded));
    }
    let ledger = compared(&history);
    let schedules: Vec<_> = ledger.entries.iter().map(|entry| (entry.count, entry.schedules.clone())).collect();
    let (ten, fifteen, both) = (vec![0], vec![1], vec![0, 1]);
    assert_eq!(schedules, [(1, both.clone()), (1, ten.clone()), (1, fifteen), (1, ten), (1, both)]);
}

#[test]
fn of_a_fixed_delay_only_the_chain_can_be_checked() {
    let json = r#"{"schedule":{"every":{"interval":"5m"}}}"#;
    let mut history = history(json, at("00:00:00"), at("02:30:00"));
    for due in ["02:00:00", "02:05:03", "02:11:40"] {
        history.reports.push(one(at(due), Outcome::Succeeded));
    }
    let ledger = compared(&history);
    assert_eq!((sums(&ledger), ledger.basis), ([3, 3, 0, 0, 0], Basis::Completions));
    history.next_due = None;
    let ledger = compared(&history);
    assert_eq!(sums(&ledger), [4, 3, 0, 1, 0]);
    assert_eq!(ledger.missing_times, [at("2026-11-21T02:16:40.04Z")]);
    let stands = |history: &JobHistory| compared(history).missing == 0;
    let with = |change: &dyn Fn(&mut JobHistory)| {
        let mut changed = history.clone();
        change(&mut changed);
        stands(&changed)
    };
    assert!(with(&|history| history.live.push((at("02:16:40"), RunState::Running))));
    assert!(with(&|history| history.pause = Some(Pause { at: at("02:12:00"), until: Timestamp::MAX })));
    assert!(with(&|history| history.active = false));
    assert!(!with(&|history| history.pause = Some(Pause { at: at("02:12:00"), until: at("02:13:00") })));
    let limited = r#"{"schedule":{"within":{"schedule":{"every":{"interval":"5m"}},"max_runs":3}}}"#;
    assert!(with(&|history| history.versions[0].1 = limited.to_owned()));
    let ended = r#"{"schedule":{"within":{"schedule":{"every":{"interval":"5m"}},"end":"2026-11-21T02:15:00Z"}}}"#;
    assert!(with(&|history| history.versions[0].1 = ended.to_owned()));
}

#[test]
fn of_a_version_that_cannot_be_read_nothing_is_said() {
    let mut history = every_minute();
    history.versions[0].0.valid_to = Some(at("02:05:00"));
    history.versions[0].1 = r#"{"schedule":{"lunar":{}}}"#.to_owned();
    history.versions.push((version(2, at("02:05:00"), None), cron("* * * * *", "UTC")));
    let ledger = compared(&history);
    assert_eq!((ledger.missing, ledger.is_whole(), ledger.basis), (0, false, Basis::Mixed));
    assert_eq!(ledger.unreadable[0].version, 1);
    assert!(ledger.unreadable[0].reason.contains("lunar"), "{}", ledger.unreadable[0].reason);
}

#[test]
fn what_may_have_been_deleted_is_not_missed() {
    let mut history = every_minute();
    history.reports.drain(..2);
    history.pruned_before = Some(at("02:01:30"));
    let ledger = compared(&history);
    assert_eq!((ledger.from, ledger.clamped_from), (at("02:00:00"), Some(at("02:01:30"))));
    assert_eq!(sums(&ledger), [9, 9, 0, 0, 0]);
}

#[test]
fn a_row_that_begins_before_is_checked_as_far_as_the_history_reaches() {
    let mut history = history(&cron("* * * * *", "UTC"), at("00:00:00"), at("02:10:30"));
    history.reports.push(one(at("01:55:00"), Outcome::Succeeded));
    history.reports.push(row(at("01:50:00"), at("02:10:00"), 19, Outcome::Paused));
    let (from, to) = (at("02:00:00"), at("03:00:00"));
    assert_eq!(reaches_back(&history, from, to), at("01:50:00"));
    assert_eq!(sums(&compare(&history, from, to)), [11, 11, 0, 0, 0]);
    let ledger = compare_since(&history, at("01:50:00"), from, to);
    assert_eq!((sums(&ledger), ledger.missing_times.clone()), ([11, 10, 0, 1, 0], vec![at("02:10:00")]));
    history.reports[1].count = 20;
    assert_eq!(sums(&compare_since(&history, at("01:50:00"), from, to)), [11, 11, 0, 0, 0]);

    // Of the time before that something may have been deleted, and it must not be held against the row.
    history.reports.remove(0);
    assert_eq!(compare_since(&history, at("01:50:00"), from, to).missing, 1);
    history.pruned_before = Some(at("01:56:00"));
    assert_eq!(reaches_back(&history, from, to), at("01:56:00"));
    assert_eq!(sums(&compare_since(&history, at("01:50:00"), from, to)), [11, 11, 0, 0, 0]);
}

#[test]
fn a_row_that_the_leader_wrote_ahead_of_the_clock_is_whole() {
    let mut history = every_minute();
    history.reports.push(row(at("02:11:00"), at("02:12:00"), 2, Outcome::Paused));
    history.accounted = at("02:12:00");
    assert_eq!(sums(&compared(&history)), [11, 11, 0, 0, 0]);
}

#[test]
fn a_second_run_of_one_due_time_is_unexpected_and_a_second_note_is_not() {
    let mut history = every_minute();
    history.reports.insert(0, one(at("02:01:00"), Outcome::Superseded));
    let ledger = compared(&history);
    assert_eq!(
        (sums(&ledger), short(&ledger)[0].clone()),
        ([11, 11, 0, 0, 0], entry("02:00", "02:03", 4, "succeeded"))
    );
    history.reports.push(one(at("02:01:00"), Outcome::Dead));
    assert_eq!(sums(&compared(&history)), [11, 11, 0, 0, 1]);
}

#[test]
fn what_it_costs_is_bounded() {
    let from = at("2026-11-01T00:00:00Z");
    let mut history = history(&cron("* * * * * *", "UTC"), from, at("2026-11-21T00:00:00Z"));
    history.reports.push(row(at("2026-11-01T00:00:01Z"), history.now, 20 * 86_400, Outcome::Paused));
    let ledger = compare(&history, from, at("2026-12-01T00:00:00Z"));
    assert_eq!(ledger.truncated_at, Some(at("2026-11-12T13:46:41Z")));
    assert_eq!(sums(&ledger), [u64::from(MAX_EXPECTED), u64::from(MAX_EXPECTED), 0, 0, 0]);
    // A row that reaches back further than that is taken at its word.
    let ledger = compare_since(&history, from, at("2026-11-20T23:59:00Z"), at("2026-12-01T00:00:00Z"));
    assert_eq!((sums(&ledger), ledger.truncated_at), ([61, 61, 0, 0, 0], None));
}

#[test]
fn the_json_is_what_scripts_rely_on() {
    let mut history = every_minute();
    history.reports.remove(1);
    insta::assert_json_snapshot!(compared(&history));
}
