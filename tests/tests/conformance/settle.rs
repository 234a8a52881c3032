//! How attempts end, and that a zombie's word changes nothing (invariants I6, I7 and I8).

use std::time::Duration;

use leasehold_common::run::{Cause, Outcome, Report, RunState};
use leasehold_common::store::{AttemptReport, Settled, Verdict};
use leasehold_tests::steps::{HOUR, Held, MINUTE, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

use Settled::{Recorded, Stale};

/// A running attempt of `acme/a`.
async fn running(f: &Fixture) -> Held {
    f.apply(&[hourly("acme/a")]).await;
    f.trigger("acme/a").await;
    f.claim(1).await
}

async fn rows(f: &Fixture, table: &str) -> i64 {
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.number(&format!("SELECT count(*) FROM {schema}{table}")).await
}

/// Everything that a report says, for an attempt that took two seconds and ended three seconds ago.
async fn report_of(f: &Fixture, verdict: Verdict, result: Option<&str>, error: Option<&str>) -> Report {
    let held = running(f).await;
    let now = f.now().await;
    let said = AttemptReport {
        duration: Duration::from_secs(2),
        ended_ago: Duration::from_secs(3),
        result: result.map(str::to_owned),
        error: error.map(str::to_owned),
        ..held.report(0, verdict)
    };
    assert_eq!(f.store.settle(held.executor, &[said], &[held.claim()]).await.unwrap(), [Recorded]);
    let report = f.reports().await.remove(0);
    let item = held.only();
    assert_eq!((report.correlation_id, report.tenant.as_str(), report.job.as_str()), (item.id, "acme", "a"));
    assert_eq!((report.cause, report.scheduled_for, report.attempt), (Cause::Trigger, item.scheduled_for, 1));
    assert_eq!(report.executor, Some(held.executor.to_string()));
    assert_eq!(report.error.as_deref(), error);
    assert_eq!(report.result, result.map(|text| serde_json::from_str(text).unwrap()));
    assert_eq!(report.duration_ms, Some(2000));
    let ended_ago = now.as_millisecond() - report.finished_at.as_millisecond();
    assert!((1000..=3000).contains(&ended_ago), "{ended_ago}");
    let started = report.started_at.unwrap();
    assert_eq!(report.finished_at.as_millisecond() - started.as_millisecond(), 2000);
    assert_eq!(report.lateness_ms, (started.as_millisecond() - item.scheduled_for.as_millisecond()).max(0));
    assert_eq!(f.store.last_seq().await.unwrap(), report.seq);
    assert!(report.seq > 0);
    assert_eq!(rows(f, "claim").await, 0, "the finished claim is dropped");
    report
}

async fn is_over(f: &Fixture, report: &Report, outcome: Outcome) {
    assert_eq!((report.outcome, report.next_attempt_at), (outcome, None));
    let story = f.store.run(report.correlation_id).await.unwrap().unwrap();
    assert_eq!((story.run.state, story.run.outcome), (RunState::Ended, Some(outcome)));
    assert_eq!(story.reports, std::slice::from_ref(report));
    assert_eq!(f.live("acme/a").await, []);
    assert_eq!(rows(f, "running").await, 0);
}

async fn succeeded(f: &Fixture) {
    let report = report_of(f, Verdict::Succeeded, Some(r#"{"rows":3}"#), None).await;
    is_over(f, &report, Outcome::Succeeded).await;
}

async fn dead(f: &Fixture) {
    let report = report_of(f, Verdict::Dead, None, Some("exit status 1")).await;
    is_over(f, &report, Outcome::Dead).await;
}

async fn cancelled(f: &Fixture) {
    let report = report_of(f, Verdict::Cancelled, Some("null"), Some("cancelled")).await;
    is_over(f, &report, Outcome::Cancelled).await;
}

async fn goes_on(f: &Fixture, report: &Report, wait_ms: i64) {
    assert_eq!(report.outcome, Outcome::Failed);
    let wait = report.next_attempt_at.unwrap().as_millisecond() - f.now().await.as_millisecond();
    assert!((wait_ms - 5000..=wait_ms).contains(&wait), "{wait}");
    let story = f.store.run(report.correlation_id).await.unwrap().unwrap();
    assert_eq!((story.run.state, story.run.outcome, story.run.attempt), (RunState::Waiting, None, 1));
    assert_eq!(story.run.not_before, report.next_attempt_at);
    assert_eq!(story.reports, std::slice::from_ref(report));
}

async fn retry(f: &Fixture) {
    let report = report_of(f, Verdict::Retry(HOUR), None, Some("503")).await;
    goes_on(f, &report, 3_600_000).await;
    assert_eq!(f.claim(1).await.items(), [], "its time has not come");
    f.advance(HOUR).await;
    let again = f.claim(1).await;
    assert_eq!((again.only().id, again.only().attempt, again.only().released), (report.correlation_id, 2, 0));
}

async fn released(f: &Fixture) {
    let report = report_of(f, Verdict::Released, None, Some("draining")).await;
    goes_on(f, &report, 0).await;
    let again = f.claim(1).await;
    assert_eq!((again.only().id, again.only().attempt, again.only().released), (report.correlation_id, 2, 1));
}

async fn released_attempts_do_not_count_towards_attempts(f: &Fixture) {
    f.apply(&[hourly("acme/a").attempts(1)]).await;
    f.trigger("acme/a").await;
    for attempt in 1..=3 {
        let held = f.claim(1).await;
        assert_eq!((held.only().attempt, held.only().released), (attempt, attempt - 1));
        assert_eq!(f.settle(&held, Verdict::Released).await, [Recorded]);
    }
    assert_eq!(f.settle(&f.claim(1).await, Verdict::Succeeded).await, [Recorded]);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Failed, Outcome::Failed, Outcome::Failed, Outcome::Succeeded]);
}

async fn a_run_that_waits_for_its_retry_still_counts_for_overlap(f: &Fixture) {
    let held = running(f).await;
    f.settle(&held, Verdict::Retry(HOUR)).await;
    let second = f.trigger("acme/a").await;
    let blocked = f.claim(10).await;
    assert_eq!((blocked.items(), blocked.claimed.dismissed), ([].as_slice(), 1));
    assert_eq!(f.reports().await[1].correlation_id, second);
    assert_eq!(f.reports().await[1].outcome, Outcome::Overlapped);
    f.advance(HOUR).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.trigger("acme/a").await;
    assert_eq!(f.claim(1).await.items().len(), 1);
}

/// Nothing may change: neither where the run is nor what was said of it.
async fn says_nothing(f: &Fixture, report: AttemptReport) {
    let before = (f.store.run(report.id).await.unwrap(), f.reports().await, rows(f, "running").await);
    for verdict in [Verdict::Succeeded, Verdict::Retry(MINUTE), Verdict::Dead, Verdict::Cancelled, Verdict::Released] {
        assert_eq!(f.settle_one(AttemptReport { verdict, ..report.clone() }).await, Stale, "{verdict:?}");
    }
    let after = (f.store.run(report.id).await.unwrap(), f.reports().await, rows(f, "running").await);
    assert_eq!(after, before);
}

async fn a_wrong_claim_is_stale(f: &Fixture) {
    let held = running(f).await;
    says_nothing(f, AttemptReport { claim: Uuid::now_v7(), ..held.report(0, Verdict::Succeeded) }).await;
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Recorded]);
}

async fn a_wrong_attempt_is_stale(f: &Fixture) {
    let held = running(f).await;
    for attempt in [0, 2] {
        says_nothing(f, AttemptReport { attempt, ..held.report(0, Verdict::Succeeded) }).await;
    }
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Recorded]);
}

/// The token is the claim's, so two runs of one claim differ by id only.
async fn one_run_of_a_claim_is_not_the_other(f: &Fixture) {
    use {RunState::Ended, RunState::Waiting, Verdict::Succeeded};
    f.apply(&[hourly("acme/a").allow_overlap(), hourly("acme/b").allow_overlap()]).await;
    let later = Verdict::Retry(HOUR);
    for (first, second, becomes) in [(Succeeded, later, Ended), (later, Succeeded, Waiting)] {
        f.trigger("acme/a").await;
        f.trigger("acme/b").await;
        let held = f.claim(2).await;
        let before = f.reports().await.len();
        assert_eq!(f.settle_one(held.report(0, first)).await, Recorded);
        assert_eq!(f.state(held.items()[1].id).await, RunState::Running);
        assert_eq!(f.settle_one(held.report(1, second)).await, Recorded);
        assert_eq!(f.state(held.items()[0].id).await, becomes);
        assert_eq!(f.reports().await.len(), before + 2);
    }
}

async fn the_same_report_twice_is_stale_the_second_time(f: &Fixture) {
    for verdict in [Verdict::Retry(Duration::ZERO), Verdict::Released, Verdict::Succeeded] {
        let held = running(f).await;
        assert_eq!(f.settle(&held, verdict).await, [Recorded]);
        assert_eq!(f.settle(&held, verdict).await, [Stale], "{verdict:?}");
        let waiting = f.claim(1).await;
        f.settle(&waiting, Verdict::Succeeded).await;
    }
}

async fn a_report_repeated_within_one_call_is_recorded_once(f: &Fixture) {
    let held = running(f).await;
    let report = held.report(0, Verdict::Succeeded);
    let other = AttemptReport { verdict: Verdict::Dead, ..report.clone() };
    let answers = f.store.settle(held.executor, &[report.clone(), report, other], &[]).await.unwrap();
    assert_eq!(answers[0], Recorded);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Succeeded], "the first word counts");
    assert_eq!(f.live("acme/a").await, []);
}

async fn a_stale_report_beside_the_right_one_is_told_apart(f: &Fixture) {
    for right_first in [true, false] {
        let held = running(f).await;
        let right = held.report(0, Verdict::Succeeded);
        let wrong = AttemptReport { claim: Uuid::now_v7(), verdict: Verdict::Dead, ..right.clone() };
        let (reports, answers) =
            if right_first { ([right, wrong], [Recorded, Stale]) } else { ([wrong, right], [Stale, Recorded]) };
        assert_eq!(f.store.settle(held.executor, &reports, &[held.claim()]).await.unwrap(), answers);
    }
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Succeeded; 2]);
}

async fn an_old_and_the_current_attempt_in_one_call_are_told_apart(f: &Fixture) {
    let old = running(f).await;
    f.settle(&old, Verdict::Retry(Duration::ZERO)).await;
    let new = f.claim(1).await;
    let reports = [old.report(0, Verdict::Dead), new.report(0, Verdict::Succeeded)];
    assert_eq!(f.store.settle(new.executor, &reports, &[]).await.unwrap(), [Stale, Recorded]);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Failed, Outcome::Succeeded]);
}

async fn after_a_rescue_the_old_claim_says_nothing(f: &Fixture) {
    let zombie = running(f).await;
    let term = f.elect().await;
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
    says_nothing(f, zombie.report(0, Verdict::Succeeded)).await;

    // Guarding by state alone is not a fence: the run is running again.
    let successor = f.claim(1).await;
    assert_eq!((successor.only().id, successor.only().attempt), (zombie.only().id, 2));
    says_nothing(f, zombie.report(0, Verdict::Succeeded)).await;
    says_nothing(f, AttemptReport { attempt: 2, ..zombie.report(0, Verdict::Succeeded) }).await;
    says_nothing(f, AttemptReport { claim: successor.claim(), ..zombie.report(0, Verdict::Succeeded) }).await;

    assert_eq!(f.settle(&successor, Verdict::Succeeded).await, [Recorded]);
    says_nothing(f, zombie.report(0, Verdict::Succeeded)).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Failed, Outcome::Succeeded]);
}

async fn answers_stand_in_the_order_of_the_reports(f: &Fixture) {
    f.apply(&(0..6).map(|n| hourly(&format!("acme/j{n}"))).collect::<Vec<_>>()).await;
    for n in 0..6 {
        f.trigger(&format!("acme/j{n}")).await;
    }
    let held = f.claim(6).await;
    let mut reports = held.reports(Verdict::Succeeded);
    reports.reverse();
    for index in [1, 4] {
        reports[index].claim = Uuid::now_v7();
    }
    reports[2].verdict = Verdict::Retry(HOUR);
    let answers = f.store.settle(held.executor, &reports, &[]).await.unwrap();
    assert_eq!(answers, [Recorded, Stale, Recorded, Recorded, Stale, Recorded]);
}

async fn a_call_without_reports_drops_claims(f: &Fixture) {
    let held = running(f).await;
    assert_eq!(f.settle_one(held.report(0, Verdict::Succeeded)).await, Recorded);
    assert_eq!(rows(f, "claim").await, 1);
    assert_eq!(f.store.settle(held.executor, &[], &[held.claim(), Uuid::now_v7()]).await.unwrap(), []);
    assert_eq!(rows(f, "claim").await, 0);
}

async fn a_thousand_reports_in_one_call(f: &Fixture) {
    f.apply(&(0..1000).map(|n| hourly(&format!("t{}/j{n}", n % 9))).collect::<Vec<_>>()).await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let held = f.claim(1000).await;
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, vec![Recorded; 1000]);
    assert_eq!(f.reports().await.len(), 1000);
    assert_eq!(rows(f, "running").await, 0);
}

/// 100 KB of everything that quoting and encoding could get wrong.
async fn hostile_text_round_trips(f: &Fixture) {
    let nasty = "'; DROP TABLE job; --\"\\ \r\n\t\u{1}\u{7f}\u{202e}é漢🦀{}[]$1 ?1 %s \u{fffd}".repeat(2500);
    assert!(nasty.len() > 100_000);
    let clipped = leasehold_common::run::clip(&format!("\0{nasty}\0"));
    let held = running(f).await;
    let result = serde_json::json!({ "text": nasty, "nul": "\u{0}", "deep": [[[{"\u{0}'\"": null}]]], "n": 1.5e300 });
    let report = AttemptReport {
        error: Some(format!("{clipped}{nasty}")),
        result: Some(result.to_string()),
        ..held.report(0, Verdict::Dead)
    };
    assert_eq!(f.settle_one(report).await, Recorded);
    let kept = f.reports().await.remove(0);
    assert_eq!(kept.error, Some(format!("{clipped}{nasty}")));
    assert_eq!(kept.result, Some(result));
}

async fn the_code_of_an_error_is_kept(f: &Fixture) {
    let held = running(f).await;
    let report = AttemptReport { code: Some("http.503".to_owned()), ..held.report(0, Verdict::Retry(HOUR)) };
    assert_eq!(f.settle_one(report).await, Recorded);
    assert_eq!(f.reports().await.remove(0).error_code.as_deref(), Some("http.503"));
}

async fn two_executors_that_settle_one_attempt_at_once_record_it_once(f: &Fixture) {
    for round in 0..25 {
        let held = running(f).await;
        let calls: Vec<_> = [Verdict::Succeeded, Verdict::Retry(HOUR), Verdict::Dead]
            .map(|verdict| {
                let (store, report) = (f.store.clone(), held.report(0, verdict));
                tokio::spawn(async move { store.settle(Uuid::now_v7(), &[report], &[]).await.unwrap()[0] })
            })
            .into_iter()
            .collect();
        let mut recorded = 0;
        for call in calls {
            recorded += u32::from(call.await.unwrap() == Recorded);
        }
        assert_eq!(recorded, 1, "round {round}");
        assert_eq!(f.reports().await.len(), round * 2 + 1);
        // Free the job for the next round, and make each round two reports.
        match f.cancel(held.only().id).await {
            leasehold_common::store::Cancelled::Ended => {}
            _ => f.settle(&running(f).await, Verdict::Succeeded).await.truncate(0),
        }
    }
}

both!(
    succeeded,
    dead,
    cancelled,
    retry,
    released,
    released_attempts_do_not_count_towards_attempts,
    a_run_that_waits_for_its_retry_still_counts_for_overlap,
    a_wrong_claim_is_stale,
    a_wrong_attempt_is_stale,
    one_run_of_a_claim_is_not_the_other,
    the_same_report_twice_is_stale_the_second_time,
    a_report_repeated_within_one_call_is_recorded_once,
    a_stale_report_beside_the_right_one_is_told_apart,
    an_old_and_the_current_attempt_in_one_call_are_told_apart,
    after_a_rescue_the_old_claim_says_nothing,
    answers_stand_in_the_order_of_the_reports,
    a_call_without_reports_drops_claims,
    a_thousand_reports_in_one_call,
    hostile_text_round_trips,
    the_code_of_an_error_is_kept,
    two_executors_that_settle_one_attempt_at_once_record_it_once,
);
