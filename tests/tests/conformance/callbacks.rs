//! Runs that their endpoint reports later, and what runs say while they run (invariants I6, I7, I9 and I11).

use std::time::Duration;

use leasehold_common::id::CorrelationId;
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{
    Attempt, AttemptReport, Callback, Cancelled, LiveCallback, NOBODY, Note, Opening, Settled, TokenHash, Verdict,
};
use leasehold_tests::steps::{HOUR, Held, Job, MINUTE, at_once, every, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

use Settled::{Recorded, Stale};

const TOKEN: TokenHash = [7; 32];

fn attempt(held: &Held, index: usize) -> Attempt {
    let item = &held.items()[index];
    Attempt { id: item.id, attempt: item.attempt, claim: held.claim() }
}

/// A minute of silence, ten minutes in all, and a retry after two.
fn opening(attempt: Attempt) -> Opening {
    Opening { attempt, within: MINUTE, total: 10 * MINUTE, retry: Some(2 * MINUTE) }
}

/// A run of this job that its endpoint may report.
async fn expected(f: &Fixture, job: Job) -> Held {
    f.apply(&[job]).await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    assert_eq!(f.store.expect(&[(attempt(&held, 0), TOKEN)]).await.unwrap(), [attempt(&held, 0)]);
    held
}

/// An open run of this job, and the claim that holds it.
async fn open(f: &Fixture, job: Job) -> (Held, Attempt) {
    let held = expected(f, job).await;
    let opening = opening(attempt(&held, 0));
    assert_eq!(f.store.open(&[opening]).await.unwrap(), [Recorded]);
    assert_eq!(f.store.settle(held.executor, &[], &[held.claim()]).await.unwrap(), []);
    let live = live(f, held.only().id).await;
    assert!(live.open);
    (held, live.attempt)
}

async fn callback(f: &Fixture, id: CorrelationId, token: TokenHash) -> Option<Callback> {
    f.store.callback(id, &token).await.unwrap()
}

async fn live(f: &Fixture, id: CorrelationId) -> LiveCallback {
    match callback(f, id, TOKEN).await {
        Some(Callback::Live(live)) => *live,
        other => panic!("{other:?}"),
    }
}

fn says(attempt: Attempt, verdict: Verdict) -> AttemptReport {
    AttemptReport {
        id: attempt.id,
        claim: attempt.claim,
        attempt: attempt.attempt,
        verdict,
        duration: Duration::ZERO,
        ended_ago: Duration::ZERO,
        result: None,
        error: None,
        code: None,
    }
}

/// The endpoint's word of an open run.
async fn report(f: &Fixture, attempt: Attempt, verdict: Verdict) -> Settled {
    f.store.settle(NOBODY, &[says(attempt, verdict)], &[attempt.claim]).await.unwrap().remove(0)
}

async fn claims(f: &Fixture) -> i64 {
    f.number(&format!("SELECT count(*) FROM {}claim", if f.is_postgres() { "leasehold." } else { "" })).await
}

async fn an_open_run_is_its_endpoints_alone(f: &Fixture) {
    let (held, of) = open(f, hourly("acme/a")).await;
    assert_ne!(of.claim, held.claim());
    assert_eq!((of.id, of.attempt, f.state(of.id).await), (held.only().id, 1, RunState::Running));
    let view = f.live("acme/a").await.remove(0);
    assert_eq!(view.executor, Some(held.executor.to_string()), "it is known who sent the request");
    let running: u64 = f.store.queues().await.unwrap().iter().map(|queue| queue.running).sum();
    assert_eq!(running, 0, "it takes no slot");
    assert_eq!(f.settle_one(held.report(0, Verdict::Succeeded)).await, Stale, "it is the executor's no longer");
    let found = live(f, of.id).await;
    assert_eq!((found.tenant.as_str(), found.job.as_str(), found.released), ("acme", "a", 0));
    assert_eq!(found.definition, held.only().definition);
    assert_eq!(report(f, of, Verdict::Succeeded).await, Recorded);
    assert_eq!((f.state(of.id).await, claims(f).await), (RunState::Ended, 0));
    assert_eq!(callback(f, of.id, TOKEN).await, Some(Callback::Over(Some(Outcome::Succeeded))));
    assert_eq!(report(f, of, Verdict::Dead).await, Stale, "a run ends once");
}

async fn an_endpoint_may_report_before_it_has_answered(f: &Fixture) {
    let held = expected(f, hourly("acme/a")).await;
    let early = live(f, held.only().id).await;
    assert_eq!((early.attempt, early.open), (attempt(&held, 0), false));
    assert_eq!(f.settle_one(says(early.attempt, Verdict::Succeeded)).await, Recorded);
    assert_eq!(f.store.open(&[opening(early.attempt)]).await.unwrap(), [Stale], "there is nothing to leave open");
    assert_eq!(f.store.settle(held.executor, &[], &[held.claim()]).await.unwrap(), []);
    assert_eq!((f.outcomes("acme/a").await, claims(f).await), (vec![Outcome::Succeeded], 0));
}

async fn a_token_is_kept_for_the_attempt_that_holds_its_claim(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    let right = attempt(&held, 0);
    f.trigger("acme/b").await;
    for wrong in [
        Attempt { claim: Uuid::now_v7(), ..right },
        Attempt { attempt: 2, ..right },
        Attempt { id: f.claim(1).await.only().id, ..right },
    ] {
        assert_eq!(f.store.expect(&[(wrong, TOKEN)]).await.unwrap(), [], "{wrong:?}");
        assert_eq!(callback(f, wrong.id, TOKEN).await, None);
    }
}

async fn a_token_is_good_for_one_attempt_of_one_run(f: &Fixture) {
    let (_, of) = open(f, hourly("acme/a")).await;
    assert_eq!(callback(f, of.id, [8; 32]).await, None, "another token");
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    f.trigger("acme/b").await;
    let other = f.claim(1).await;
    f.store.expect(&[(attempt(&other, 0), [9; 32])]).await.unwrap();
    assert_eq!(callback(f, other.only().id, TOKEN).await, None, "another run");
    assert_eq!(report(f, of, Verdict::Retry(Duration::ZERO)).await, Recorded);
    assert_eq!(callback(f, of.id, TOKEN).await, Some(Callback::Over(Some(Outcome::Failed))));
    let second = f.claim(1).await;
    assert_eq!((second.only().id, second.only().attempt), (of.id, 2));
    f.store.expect(&[(attempt(&second, 0), [8; 32])]).await.unwrap();
    assert_eq!(callback(f, of.id, TOKEN).await, None, "an older attempt");
    assert!(matches!(callback(f, of.id, [8; 32]).await, Some(Callback::Live(live)) if live.attempt.attempt == 2));
}

async fn only_the_claim_that_holds_a_run_leaves_it_open(f: &Fixture) {
    let held = expected(f, hourly("acme/a")).await;
    let right = attempt(&held, 0);
    let other = Attempt { id: CorrelationId::from_uuid(Uuid::now_v7()), ..right };
    for wrong in [Attempt { claim: Uuid::now_v7(), ..right }, Attempt { attempt: 2, ..right }, other] {
        assert_eq!(f.store.open(&[opening(wrong)]).await.unwrap(), [Stale], "{wrong:?}");
        assert!(!live(f, right.id).await.open);
    }
    assert_eq!(f.store.open(&[opening(other), opening(right)]).await.unwrap(), [Stale, Recorded]);
    assert_eq!(f.store.open(&[opening(right)]).await.unwrap(), [Stale], "it is open already");
}

async fn what_is_not_reported_in_time_is_tried_again_by_the_rules_of_the_job(f: &Fixture) {
    let (_, of) = open(f, hourly("acme/a")).await;
    let term = f.elect().await;
    assert_eq!(f.rescue(&term).await, (0, 0));
    f.advance(MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
    let failed = f.reports().await.remove(0);
    assert_eq!((failed.outcome, failed.attempt), (Outcome::Failed, 1));
    assert!(failed.error.unwrap().starts_with("timed out"));
    let wait = failed.next_attempt_at.unwrap().as_second() - failed.finished_at.as_second();
    assert!((119..=121).contains(&wait), "{wait}");
    assert_eq!(report(f, of, Verdict::Succeeded).await, Stale, "it came too late");
    assert_eq!((f.claim(1).await.items(), claims(f).await), ([].as_slice(), 0));
    f.advance(2 * MINUTE).await;
    assert_eq!(f.claim(1).await.only().attempt, 2);
}

async fn a_time_out_counts_as_an_attempt_and_may_be_the_last(f: &Fixture) {
    let term = f.elect().await;
    open(f, hourly("acme/a").attempts(1)).await;
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (0, 1));
    let held = expected(f, hourly("acme/a")).await;
    f.store.open(&[Opening { retry: None, ..opening(attempt(&held, 0)) }]).await.unwrap();
    f.advance(2 * MINUTE).await;
    f.rescue(&term).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Dead, Outcome::Dead]);
    assert_eq!(f.live("acme/a").await, []);
}

async fn a_word_of_the_endpoint_moves_the_time_up_to_the_bound(f: &Fixture) {
    let (_, of) = open(f, hourly("acme/a")).await;
    let term = f.elect().await;
    for wrong in [
        Attempt { claim: Uuid::now_v7(), ..of },
        Attempt { attempt: 2, ..of },
        Attempt { id: CorrelationId::from_uuid(Uuid::now_v7()), ..of },
    ] {
        assert_eq!(f.store.keep_open(wrong).await.unwrap(), None, "{wrong:?}");
    }
    for _ in 0..13 {
        f.advance(45 * Duration::from_secs(1)).await;
        let left = f.store.keep_open(of).await.unwrap().unwrap();
        assert!(left <= MINUTE, "{left:?}");
        assert_eq!(f.rescue(&term).await, (0, 0));
    }
    f.advance(20 * Duration::from_secs(1)).await;
    assert_eq!(f.store.keep_open(of).await.unwrap(), None, "ten minutes are over, and what has run out stays so");
    assert_eq!(f.rescue(&term).await, (1, 0));
}

async fn a_word_to_an_executor_moves_no_claim(f: &Fixture) {
    let held = expected(f, hourly("acme/a")).await;
    assert_eq!(f.store.keep_open(attempt(&held, 0)).await.unwrap(), None);
    assert!(f.store.extend(NOBODY, &[held.claim()], HOUR).await.unwrap().alive.is_empty());
}

async fn an_open_run_that_is_cancelled_ends_at_once(f: &Fixture) {
    let (_, of) = open(f, every("acme/a", HOUR)).await;
    assert_eq!(f.cancel(of.id).await, Cancelled::Ended);
    assert_eq!((f.outcomes("acme/a").await, claims(f).await), (vec![Outcome::Cancelled], 0));
    assert_eq!(report(f, of, Verdict::Succeeded).await, Stale);
    assert_eq!(f.cancel(of.id).await, Cancelled::AlreadyEnded);
}

async fn a_run_that_is_left_open_after_it_was_cancelled_ends_with_the_next_rescue(f: &Fixture) {
    let held = expected(f, hourly("acme/a")).await;
    assert_eq!(f.cancel(held.only().id).await, Cancelled::Requested);
    assert_eq!(f.store.open(&[opening(attempt(&held, 0))]).await.unwrap(), [Recorded]);
    let term = f.elect().await;
    f.rescue(&term).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Cancelled]);
}

async fn an_open_run_keeps_its_place_and_its_limits(f: &Fixture) {
    let job = hourly("acme/a").allow_overlap().limited(at_once(1));
    let (_, of) = open(f, job).await;
    f.trigger("acme/a").await;
    assert_eq!(f.claim_on(10).await.items(), [], "the limit is used up");
    assert_eq!(report(f, of, Verdict::Succeeded).await, Recorded);
    assert_eq!(f.claim_on(10).await.items().len(), 1);
}

async fn nothing_overlaps_an_open_run(f: &Fixture) {
    let (_, of) = open(f, hourly("acme/a")).await;
    f.trigger("acme/a").await;
    assert_eq!(f.claim_on(10).await.items(), []);
    assert_eq!(report(f, of, Verdict::Succeeded).await, Recorded);
    f.trigger("acme/a").await;
    assert_eq!(f.claim_on(10).await.items().len(), 1);
}

async fn an_interval_begins_with_the_report(f: &Fixture) {
    f.apply(&[every("acme/a", HOUR)]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    f.store.expect(&[(attempt(&held, 0), TOKEN)]).await.unwrap();
    let long = Opening { within: 5 * HOUR, total: 5 * HOUR, ..opening(attempt(&held, 0)) };
    assert_eq!(f.store.open(&[long]).await.unwrap(), [Recorded]);
    f.advance(3 * HOUR).await;
    assert_eq!(f.job("acme/a").await.next_due, None);
    assert_eq!(report(f, live(f, held.only().id).await.attempt, Verdict::Succeeded).await, Recorded);
    let wait = f.next_due("acme/a").await.as_second() - f.now().await.as_second();
    assert!((3590..=3600).contains(&wait), "{wait}");
}

fn note(attempt: Attempt, percent: u8, message: &str) -> Note {
    Note { attempt, percent: Some(percent), message: Some(message.to_owned()), log: None }
}

async fn said(f: &Fixture, id: CorrelationId) -> Option<(u32, Option<u8>, Option<String>, Vec<String>)> {
    let story = f.store.run(id).await.unwrap().unwrap();
    story.progress.map(|progress| (progress.attempt, progress.percent, progress.message, progress.log))
}

async fn what_a_run_says_is_seen_while_it_runs_and_after(f: &Fixture) {
    let held = expected(f, hourly("acme/a")).await;
    let of = attempt(&held, 0);
    assert_eq!((said(f, of.id).await, f.live("acme/a").await[0].percent), (None, None));
    f.store.note(&[note(of, 40, "it's \"half\"; DROP TABLE job; --")]).await.unwrap();
    f.store
        .note(&[Note { attempt: of, percent: None, message: None, log: Some("one\ntwo".to_owned()) }])
        .await
        .unwrap();
    let message = Some("it's \"half\"; DROP TABLE job; --".to_owned());
    let lines = vec!["one".to_owned(), "two".to_owned()];
    assert_eq!(said(f, of.id).await, Some((1, Some(40), message.clone(), lines.clone())));
    assert_eq!(f.live("acme/a").await[0].percent, Some(40));
    assert_eq!(f.settle(&held, Verdict::Retry(Duration::ZERO)).await, [Recorded]);
    assert_eq!(said(f, of.id).await, Some((1, Some(40), message, lines)), "it stays with the story");

    let second = f.claim(1).await;
    assert_eq!(f.live("acme/a").await[0].percent, None, "the second attempt has said nothing");
    f.store.note(&[Note { percent: Some(7), message: None, ..note(attempt(&second, 0), 0, "") }]).await.unwrap();
    assert_eq!(said(f, of.id).await, Some((2, Some(7), None, vec![])), "nothing is left of the first");
}

async fn what_a_zombie_says_is_not_heard(f: &Fixture) {
    let held = expected(f, hourly("acme/a")).await;
    let right = attempt(&held, 0);
    let other = Attempt { id: CorrelationId::from_uuid(Uuid::now_v7()), ..right };
    for wrong in [Attempt { claim: Uuid::now_v7(), ..right }, Attempt { attempt: 2, ..right }, other] {
        f.store.note(&[note(wrong, 1, "boo")]).await.unwrap();
        assert_eq!(said(f, right.id).await, None, "{wrong:?}");
    }
}

async fn what_belongs_to_a_run_goes_with_its_reports(f: &Fixture) {
    let (_, of) = open(f, hourly("acme/a")).await;
    f.store.note(&[note(of, 1, "begun")]).await.unwrap();
    let rows = || async {
        let schema = if f.is_postgres() { "leasehold." } else { "" };
        f.number(&format!("SELECT (SELECT count(*) FROM {schema}callback) + (SELECT count(*) FROM {schema}progress)"))
            .await
    };
    let term = f.elect().await;
    assert_eq!(report(f, of, Verdict::Retry(2 * HOUR)).await, Recorded);
    f.advance(HOUR).await;
    f.store.prune(&term, MINUTE, 1000).await.unwrap();
    assert_eq!((f.reports().await.len(), rows().await), (0, 2), "the run is not over");
    f.advance(HOUR).await;
    let held = f.claim(1).await;
    f.settle(&held, Verdict::Succeeded).await;
    f.advance(HOUR).await;
    f.store.prune(&term, MINUTE, 1000).await.unwrap();
    assert_eq!((f.reports().await.len(), rows().await), (0, 0));
}

async fn many_are_left_open_in_one_call(f: &Fixture) {
    const MANY: usize = 1_000;
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    f.backlog("acme/a", u32::try_from(MANY).unwrap()).await;
    let held = f.claim_on(1_000).await;
    let all: Vec<_> = (0..MANY).map(|index| attempt(&held, index)).collect();
    let tokens: Vec<_> = all.iter().map(|of| (*of, TOKEN)).collect();
    assert_eq!(f.store.expect(&tokens).await.unwrap().len(), MANY);
    let openings: Vec<_> = all.iter().map(|of| opening(*of)).collect();
    assert_eq!(f.store.open(&openings).await.unwrap(), vec![Recorded; MANY]);
    f.store.settle(held.executor, &[], &[held.claim()]).await.unwrap();
    assert_eq!(claims(f).await, i64::try_from(MANY).unwrap());
    let term = f.elect().await;
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1_000, 0));
    assert_eq!(claims(f).await, 0);
}

both!(
    an_open_run_is_its_endpoints_alone,
    an_endpoint_may_report_before_it_has_answered,
    a_token_is_kept_for_the_attempt_that_holds_its_claim,
    a_token_is_good_for_one_attempt_of_one_run,
    only_the_claim_that_holds_a_run_leaves_it_open,
    what_is_not_reported_in_time_is_tried_again_by_the_rules_of_the_job,
    a_time_out_counts_as_an_attempt_and_may_be_the_last,
    a_word_of_the_endpoint_moves_the_time_up_to_the_bound,
    a_word_to_an_executor_moves_no_claim,
    an_open_run_that_is_cancelled_ends_at_once,
    a_run_that_is_left_open_after_it_was_cancelled_ends_with_the_next_rescue,
    an_open_run_keeps_its_place_and_its_limits,
    nothing_overlaps_an_open_run,
    an_interval_begins_with_the_report,
    what_a_run_says_is_seen_while_it_runs_and_after,
    what_a_zombie_says_is_not_heard,
    what_belongs_to_a_run_goes_with_its_reports,
    many_are_left_open_in_one_call,
);
