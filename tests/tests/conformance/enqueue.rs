//! Runs that applications hand over: with a payload, a key, and within transactions of their own.

use std::time::Duration;

use jiff::SignedDuration;
use leasehold_common::id::CorrelationId;
use leasehold_common::run::{Cause, Outcome, RunState};
use leasehold_common::store::{Enqueue, EnqueueDue, ErrorKind, Verdict};
use leasehold_tests::steps::{HOUR, MINUTE, hourly, path};
use leasehold_tests::stores::Fixture;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

fn request(at: &str) -> Enqueue {
    let (tenant, job) = path(at);
    Enqueue::now(tenant, job)
}

fn keyed(at: &str, key: &str) -> Enqueue {
    Enqueue { key: Some(key.to_owned()), ..request(at) }
}

async fn enqueue(f: &Fixture, request: Enqueue) -> CorrelationId {
    f.store.enqueue(&request).await.unwrap().unwrap()
}

async fn payload(f: &Fixture, id: CorrelationId) -> Option<Value> {
    let found = f.store.payloads(&[id]).await.unwrap();
    found.into_iter().next().map(|(of, text)| {
        assert_eq!(of, id);
        serde_json::from_str(&text).unwrap()
    })
}

async fn an_enqueued_run_has_a_payload_of_its_own(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("b/a")]).await;
    let before = f.job("acme/a").await;
    let hostile = json!({ "x": "'; DROP TABLE job; --", "{{ tenant.id }}": ["{{ run.attempt }}", 1.5, null] });
    let id = enqueue(f, Enqueue { payload: Some(hostile.clone()), ..request("acme/a") }).await;
    let plain = enqueue(f, request("b/a")).await;
    assert!(!id.kind().is_scheduled());
    let held = f.claim(10).await;
    let mine = held.items().iter().find(|item| item.id == id).unwrap();
    assert_eq!((mine.cause, mine.attempt, mine.tenant.as_str()), (Cause::Enqueue, 1, "acme"));
    assert_eq!(payload(f, id).await, Some(hostile));
    assert_eq!(payload(f, plain).await, None, "that of the job");
    f.settle(&held, Verdict::Succeeded).await;
    let report = f.reports().await.into_iter().find(|report| report.correlation_id == id).unwrap();
    assert_eq!((report.cause, report.outcome), (Cause::Enqueue, Outcome::Succeeded));
    assert_eq!(f.job("acme/a").await, before, "the schedule is left alone");
}

async fn it_runs_when_it_is_due_and_not_before(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let at = f.now().await + SignedDuration::from_mins(10);
    let later = enqueue(f, Enqueue { due: EnqueueDue::At(at), ..request("acme/a") }).await;
    let soon = enqueue(f, Enqueue { due: EnqueueDue::In(MINUTE), ..request("acme/a") }).await;
    let past = EnqueueDue::At(at - SignedDuration::from_hours(5));
    let now = enqueue(f, Enqueue { due: past, priority: Some(-7), ..request("acme/a") }).await;
    let held = f.claim(10).await;
    assert_eq!((held.only().id, held.only().lane.priority), (now, -7), "an instant of the past is now");
    f.advance(MINUTE).await;
    assert_eq!(f.claim(10).await.only().id, soon);
    f.advance_to(at).await;
    let held = f.claim(10).await;
    assert_eq!((held.only().id, held.only().scheduled_for), (later, at));
}

async fn one_that_nobody_ran_in_time_expires(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    enqueue(f, Enqueue { expires: Some(MINUTE), ..request("acme/a") }).await;
    f.advance(MINUTE + Duration::from_secs(1)).await;
    assert!(f.claim(1).await.items().is_empty());
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Expired]);
}

async fn two_requests_with_one_key_are_one_run(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap(), hourly("acme/b"), hourly("b/a")]).await;
    let first = enqueue(f, Enqueue { payload: Some(json!(1)), ..keyed("acme/a", "k") }).await;
    assert_eq!(enqueue(f, Enqueue { payload: Some(json!(2)), ..keyed("acme/a", "k") }).await, first);
    assert_eq!(payload(f, first).await, Some(json!(1)), "the first one counts");
    let mut others = vec![first];
    for other in [keyed("acme/a", "K"), keyed("acme/b", "k"), keyed("b/a", "k"), request("acme/a"), request("acme/a")] {
        let id = enqueue(f, other).await;
        assert!(!others.contains(&id));
        others.push(id);
    }
    let held = f.claim(10).await;
    assert_eq!(held.items().len(), 6);
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(enqueue(f, keyed("acme/a", "k")).await, first, "also when it is over");
}

async fn a_key_is_free_again_when_its_run_is_forgotten(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let term = f.elect().await;
    let first = enqueue(f, keyed("acme/a", "k")).await;
    let waits = enqueue(f, Enqueue { due: EnqueueDue::In(48 * HOUR), ..keyed("acme/a", "waits") }).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.store.prune(&term, 2 * HOUR, 1000).await.unwrap();
    assert_eq!(enqueue(f, keyed("acme/a", "k")).await, first);
    f.advance(3 * HOUR).await;
    f.store.prune(&term, 2 * HOUR, 1000).await.unwrap();
    assert_ne!(enqueue(f, keyed("acme/a", "k")).await, first);
    assert_eq!(enqueue(f, keyed("acme/a", "waits")).await, waits, "what has not run is not forgotten");
}

async fn what_is_out_of_bounds_is_refused_and_leaves_nothing(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/gone")]).await;
    f.apply(&[hourly("acme/a")]).await;
    for at in ["acme/never", "nobody/a", "acme/gone"] {
        assert_eq!(f.store.enqueue(&request(at)).await.unwrap(), None, "{at}");
    }
    let large = json!("x".repeat(Enqueue::PAYLOAD_MAX));
    for bad in [
        Enqueue { payload: Some(large), ..request("acme/a") },
        keyed("acme/a", ""),
        keyed("acme/a", &"k".repeat(256)),
        Enqueue { expires: Some(Duration::ZERO), ..request("acme/a") },
        Enqueue { due: EnqueueDue::In(Enqueue::WAIT_MAX + HOUR), ..request("acme/a") },
    ] {
        assert_eq!(f.store.enqueue(&bad).await.unwrap_err().kind, ErrorKind::Invalid);
    }
    assert!(f.live("acme/a").await.is_empty());
    let most =
        Enqueue { payload: Some(json!("x".repeat(Enqueue::PAYLOAD_MAX - 2))), ..keyed("acme/a", &"é".repeat(255)) };
    enqueue(f, most).await;
}

async fn a_pause_does_not_stop_it_and_an_overlap_does(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    f.pause("acme/a", None).await;
    let first = enqueue(f, request("acme/a")).await;
    let held = f.claim(1).await;
    assert_eq!(held.only().id, first);
    enqueue(f, request("acme/a")).await;
    assert!(f.claim(1).await.items().is_empty());
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Overlapped]);
}

/// More than there are ids for one millisecond.
async fn many_may_be_due_at_one_instant(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let at = f.now().await + SignedDuration::from_mins(10);
    if f.is_postgres() {
        let query = format!(
            "SELECT leasehold.enqueue('acme', 'a', NULL, '{{\"at\": \"{at}\"}}') FROM generate_series(1, 5000)"
        );
        f.execute(&query).await;
    } else {
        let mut connection = f.lite().await;
        let mut write = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        // Far enough for a clock that the test has moved.
        let due = EnqueueDue::At(at + SignedDuration::from_hours(24));
        for _ in 0..5000 {
            let request = Enqueue { due, ..request("acme/a") };
            leasehold_store::enqueue_on_sqlite(&mut write, &request).await.unwrap().unwrap();
        }
        write.commit().await.unwrap();
    }
    assert_eq!(
        f.number(&format!("SELECT count(*) FROM {}ahead", if f.is_postgres() { "leasehold." } else { "" })).await,
        5000
    );
}

async fn it_is_committed_with_the_callers_work_or_not_at_all(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    for commit in [false, true] {
        let request = Enqueue { payload: Some(json!({ "order": 17 })), ..keyed("acme/a", "order-17") };
        let id = if f.is_postgres() {
            let mut connection = f.pg().await;
            let mut mine = connection.begin().await.unwrap();
            mine.execute("CREATE TABLE IF NOT EXISTS public.customer (id integer)").await.unwrap();
            let id = leasehold_store::enqueue_on_postgres(&mut *mine, &request).await.unwrap().unwrap();
            assert!(f.live("acme/a").await.is_empty(), "nobody sees it before the commit");
            if commit {
                mine.commit().await.unwrap()
            } else {
                mine.rollback().await.unwrap()
            }
            id
        } else {
            let mut connection = f.lite().await;
            let mut mine = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
            mine.execute("CREATE TABLE IF NOT EXISTS customer (id INTEGER)").await.unwrap();
            let id = leasehold_store::enqueue_on_sqlite(&mut mine, &request).await.unwrap().unwrap();
            assert!(f.live("acme/a").await.is_empty(), "nobody sees it before the commit");
            if commit {
                mine.commit().await.unwrap()
            } else {
                mine.rollback().await.unwrap()
            }
            id
        };
        let live: Vec<_> = f.live("acme/a").await.into_iter().map(|run| (run.correlation_id, run.state)).collect();
        match commit {
            true => assert!(matches!(live[..], [(of, RunState::Waiting | RunState::Ready)] if of == id), "{live:?}"),
            false => assert!(live.is_empty(), "{live:?}"),
        }
    }
    assert_eq!(f.claim(5).await.items().len(), 1);
}

/// What an application of any language sees.
async fn sql_says_what_is_wrong(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    for (arguments, code, says) in [
        ("'acme', 'b'", "42704", "tenant acme has no job b"),
        ("'nobody', 'a'", "42704", "tenant nobody has no job a"),
        ("'acme', 'a', NULL, '{\"when\": 1}'", "22023", "there is no option 'when'"),
        ("'acme', 'a', NULL, '[]'", "22023", "options must be a JSON object"),
        ("'acme', 'a', NULL, '{\"at\": \"tomorrow\"}'", "22023", "an option is malformed"),
        ("'acme', 'a', NULL, '{\"at\": \"2026-11-21T02:00:00\"}'", "22023", "an option is malformed"),
        ("'acme', 'a', NULL, '{\"at\": \"2026-13-21T02:00:00Z\"}'", "22023", "an option is malformed"),
        ("'acme', 'a', NULL, '{\"delay\": \"soon\"}'", "22023", "an option is malformed"),
        ("'acme', 'a', NULL, '{\"delay\": \"-1 s\"}'", "22023", "delay must not be below zero"),
        ("'acme', 'a', NULL, '{\"delay\": \"1 s\", \"at\": \"2026-11-21T02:00:00Z\"}'", "22023", "give one of them"),
        ("'acme', 'a', NULL, '{\"expires\": \"0\"}'", "22023", "expires must be above it"),
        ("'acme', 'a', NULL, '{\"priority\": \"high\"}'", "22023", "an option is malformed"),
        ("'acme', 'a', NULL, '{\"key\": 17}'", "22023", "key must be a text"),
        ("'acme', 'a', to_jsonb(repeat('x', 262143))", "22023", "a payload has at most 262144 bytes"),
    ] {
        let query = sqlx::AssertSqlSafe(format!("SELECT leasehold.enqueue({arguments})"));
        let error = sqlx::query(query).execute(&mut f.pg().await).await.unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some(code), "{arguments}: {error}");
        assert!(error.message().contains(says), "{arguments}: {error}");
    }
    assert!(f.live("acme/a").await.is_empty());
    f.execute("SELECT leasehold.enqueue('acme', 'a', '{\"n\": 1}', '{\"delay\": \"1h30m\", \"expires\": 90, \"priority\": 3}')")
        .await;
    assert_eq!(f.live("acme/a").await.len(), 1);
}

/// The second one waits until it is known whether the first one is there.
async fn a_key_in_an_open_transaction_is_waited_for(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    for commit in [false, true] {
        let key = format!("k{commit}");
        let mut connection = f.pg().await;
        let mut mine = connection.begin().await.unwrap();
        let first = leasehold_store::enqueue_on_postgres(&mut *mine, &keyed("acme/a", &key)).await.unwrap().unwrap();
        let (store, other) = (f.store.clone(), keyed("acme/a", &key));
        let second = tokio::spawn(async move { store.enqueue(&other).await.unwrap().unwrap() });
        f.waits(&second).await;
        if commit {
            mine.commit().await.unwrap()
        } else {
            mine.rollback().await.unwrap()
        }
        assert_eq!(second.await.unwrap() == first, commit);
    }
    assert_eq!(f.live("acme/a").await.len(), 2);
}

both!(
    an_enqueued_run_has_a_payload_of_its_own,
    it_runs_when_it_is_due_and_not_before,
    one_that_nobody_ran_in_time_expires,
    two_requests_with_one_key_are_one_run,
    a_key_is_free_again_when_its_run_is_forgotten,
    what_is_out_of_bounds_is_refused_and_leaves_nothing,
    a_pause_does_not_stop_it_and_an_overlap_does,
    many_may_be_due_at_one_instant,
    it_is_committed_with_the_callers_work_or_not_at_all,
);
postgres!(sql_says_what_is_wrong, a_key_in_an_open_transaction_is_waited_for);
