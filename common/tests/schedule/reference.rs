//! docs/reference/schedules.md: every example in it, read from the file.
//!
//! Tables are known by their heads; a table of expressions with a head that is not known fails the test, so that no
//! example stands there untested.

use jiff::Timestamp;
use leasehold_common::config;
use leasehold_common::id::JobKey;
use leasehold_common::schedule::{CronExpr, DstPolicy, Schedule, Zone};

use crate::support::{civil, cron, due, instant, zone};

const PAGE: &str = include_str!("../../../docs/reference/schedules.md");

/// The cells of a table row. No example has a pipe.
fn cells(line: &str) -> Vec<&str> {
    let inner = line.trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(str::trim).collect()
}

fn code(cell: &str) -> &str {
    let inner = cell.strip_prefix('`').and_then(|c| c.strip_suffix('`'));
    inner.unwrap_or_else(|| panic!("{cell} is no code"))
}

fn in_zone(text: &str, name: &str, policy: &str, after: &str, n: usize) -> Vec<String> {
    let policy: DstPolicy = serde_json::from_value(policy.into()).unwrap();
    due(&cron(text), &zone(name), policy, instant(after))
        .take(n)
        .map(|t| t.strftime("%Y-%m-%d %H:%M").to_string())
        .collect()
}

/// Due times of a job with these keys, as the config makes it. More are asked for than a row has where all are told.
fn of_a_job(keys: &str, after: &str, n: usize) -> Vec<String> {
    let text = format!("version: 1\ntenants: [{{id: acme}}]\njobs: [{{name: a, handler: a, {keys}}}]\n");
    let checked = config::check("leasehold.yaml", &text, &|_| None);
    assert!(checked.diagnostics.is_empty(), "{keys}: {:?}", checked.diagnostics);
    let job = checked.config.unwrap().desired(Timestamp::UNIX_EPOCH, &[]).jobs.remove(0);
    let schedule = job.definition.schedule.compile(JobKey::new(&job.tenant, &job.name, 0)).unwrap();
    let ends = !matches!(schedule, Schedule::Any(_));
    std::iter::successors(schedule.next_after(instant(after)), |at| schedule.next_after(*at))
        .take(if ends { n } else { n - 1 })
        .map(|at| at.strftime("%Y-%m-%d %H:%M").to_string())
        .collect()
}

/// Checks one row of a table; false for tables without examples.
fn check(head: &[&str], row: &[&str]) -> bool {
    match (head, row) {
        (["Expression", "In words"], [text, words]) => {
            assert_eq!(cron(code(text)).describe(), *words, "{text}");
        }
        (["Expression", "Same as"], [text, other]) => {
            let after = "2026-01-01T00:00:00Z";
            assert_eq!(civil(code(text), after, 30), civil(code(other), after, 30), "{text}");
        }
        (["Expression", "After", "Due times in UTC"], [text, after, times]) => {
            let times: Vec<_> = times.split(", ").collect();
            assert_eq!(civil(code(text), after, times.len()), times, "{text}");
        }
        (["Expression", "Zone", "Policy", "After", "Due times in UTC"], [text, name, policy, after, times]) => {
            let times: Vec<_> = times.split(", ").collect();
            assert_eq!(in_zone(code(text), name, policy, after, times.len()), times, "{text} in {name}, {policy}");
        }
        (["Expression", "Refused because"], [text, because]) => {
            let error = CronExpr::parse(code(text)).expect_err(text).to_string();
            assert!(error.contains(because), "{text}: {error}");
        }
        (["Schedule", "After", "Due times in UTC"], [keys, after, times]) => {
            assert_eq!(of_a_job(code(keys), after, times.split(", ").count() + 1).join(", "), *times, "{keys}");
        }
        (["Expression" | "Schedule", ..], _) => panic!("no test for the table {head:?}"),
        _ => return false,
    }
    true
}

#[test]
fn every_table_of_examples_is_true() {
    let mut head: Option<Vec<&str>> = None;
    let mut checked = 0;
    for line in PAGE.lines() {
        if !line.starts_with('|') {
            head = None;
        } else if let Some(head) = &head {
            if !line.starts_with("|---") {
                checked += usize::from(check(head, &cells(line)));
            }
        } else {
            head = Some(cells(line));
        }
    }
    assert!(checked > 50, "only {checked} rows");
}

#[test]
fn every_expression_in_the_text_is_valid() {
    let mut seen = 0;
    for line in PAGE.lines().filter(|l| !l.starts_with('|')) {
        // Code spans are the odd pieces between backticks.
        for span in line.split('`').skip(1).step_by(2) {
            // Keys of a config have words of their own.
            if span.split(' ').count() >= 5 && !span.contains(": ") {
                cron(span);
                seen += 1;
            }
        }
    }
    assert!(seen >= 4, "only {seen} expressions");
}

#[test]
fn what_the_text_says_in_passing_is_true() {
    // The YAML example, the hash, and the schedule that only names skipped times.
    let yaml = PAGE.lines().find_map(|l| l.strip_prefix("cron: \"")?.split('"').next()).unwrap();
    assert_eq!(cron(yaml).describe(), "at 02:30 on Monday to Friday");
    let night = cron("H H(1-5) * * *").next_after(instant("2026-01-01T00:00:00Z"), Zone::UTC.tz(), DstPolicy::Once);
    assert!((1..=5).contains(&night.unwrap().to_zoned(jiff::tz::TimeZone::UTC).hour()));
    assert!(in_zone("30 2 8-14 3 +SUN", "America/New_York", "skip", "2026-01-01T00:00:00Z", 1).is_empty());
    assert_eq!(
        civil("0 0 * * FRI-SUN,MON", "2026-01-01T00:00:00Z", 9),
        civil("0 0 * * 5,6,0,1", "2026-01-01T00:00:00Z", 9)
    );
    assert_eq!(civil("0 0 * * 1", "2026-01-01T00:00:00Z", 3), civil("0 0 * * MON", "2026-01-01T00:00:00Z", 3));
    assert!(CronExpr::parse("0 0 L-3W * *").is_err());
}
