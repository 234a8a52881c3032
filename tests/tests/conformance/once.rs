//! What attempts do once: begun, done, and what a zombie may not write.

use leasehold_common::run::Outcome;
use leasehold_common::store::{OnceBegun, OnceKey, Verdict};
use leasehold_tests::steps::{HOUR, Held, MINUTE, hourly};
use leasehold_tests::stores::Fixture;

/// What the run at this place of a claim does once.
fn key(held: &Held, index: usize, scope: &str) -> OnceKey {
    let item = &held.items()[index];
    OnceKey {
        id: item.id,
        claim: held.claim(),
        attempt: item.attempt,
        scope: scope.to_owned(),
        name: "charge".to_owned(),
    }
}

async fn begin(f: &Fixture, key: &OnceKey) -> OnceBegun {
    f.store.begin_once(key).await.unwrap()
}

async fn finish(f: &Fixture, key: &OnceKey, result: &str) -> bool {
    f.store.finish_once(key, result).await.unwrap()
}

fn done(result: &str) -> OnceBegun {
    OnceBegun::Done { result: result.to_owned() }
}

async fn what_is_done_is_not_begun_again(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    f.trigger("acme/a").await;
    let first = f.claim(1).await;
    assert_eq!(begin(f, &key(&first, 0, "s")).await, OnceBegun::First);
    assert!(finish(f, &key(&first, 0, "s"), "{\"receipt\":\"x\"}").await);
    assert!(!finish(f, &key(&first, 0, "s"), "2").await, "it is done once");
    f.settle(&first, Verdict::Retry(MINUTE)).await;
    f.advance(MINUTE).await;
    let second = f.claim(1).await;
    assert_eq!(second.only().attempt, 2);
    assert_eq!(begin(f, &key(&second, 0, "s")).await, done("{\"receipt\":\"x\"}"));
    assert_eq!(begin(f, &key(&second, 0, "other")).await, OnceBegun::First, "within another scope it is another thing");
}

async fn the_next_attempt_sees_what_was_begun_and_takes_it_over(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let id = f.trigger("acme/a").await;
    let first = f.claim(1).await;
    let before = f.now().await;
    begin(f, &key(&first, 0, "s")).await;
    f.settle(&first, Verdict::Retry(MINUTE)).await;
    f.advance(MINUTE).await;
    let second = f.claim(1).await;
    match begin(f, &key(&second, 0, "s")).await {
        OnceBegun::Unfinished { run, attempt: 1, at } => assert!(run == id && at >= before && at < f.now().await),
        other => panic!("{other:?}"),
    }
    match begin(f, &key(&second, 0, "s")).await {
        OnceBegun::Unfinished { run, attempt: 2, .. } => assert_eq!(run, id, "now it is the second one's"),
        other => panic!("{other:?}"),
    }
    assert!(finish(f, &key(&second, 0, "s"), "1").await);
}

async fn a_zombie_begins_and_finishes_nothing(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let zombie = f.claim(1).await;
    begin(f, &key(&zombie, 0, "s")).await;
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
    assert_eq!(begin(f, &key(&zombie, 0, "s")).await, OnceBegun::Stale, "its run waits for another executor");
    assert!(!finish(f, &key(&zombie, 0, "s"), "1").await);
    let successor = f.claim(1).await;
    assert_eq!(successor.only().attempt, 2);
    let mut wrong = key(&successor, 0, "s");
    wrong.attempt = 1;
    assert_eq!(begin(f, &wrong).await, OnceBegun::Stale, "of another attempt");
    wrong = key(&successor, 0, "s");
    wrong.claim = zombie.claim();
    assert_eq!(begin(f, &wrong).await, OnceBegun::Stale, "of another claim");
    assert!(!finish(f, &key(&zombie, 0, "s"), "1").await);
    assert!(matches!(begin(f, &key(&successor, 0, "s")).await, OnceBegun::Unfinished { attempt: 1, .. }));
    wrong.attempt = 2;
    assert!(!finish(f, &wrong, "1").await, "of another claim");
    assert!(finish(f, &key(&successor, 0, "s"), "2").await);
    f.settle(&successor, Verdict::Succeeded).await;
    assert_eq!(begin(f, &key(&successor, 0, "s")).await, OnceBegun::Stale, "a run that is over begins nothing");
    assert_eq!(f.outcomes("acme/a").await.last(), Some(&Outcome::Succeeded));
}

async fn runs_that_share_a_scope_do_it_once(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    f.trigger("acme/a").await;
    f.trigger("acme/a").await;
    let held = f.claim(2).await;
    let (one, two) = (key(&held, 0, "order-17"), key(&held, 1, "order-17"));
    assert_eq!(begin(f, &one).await, OnceBegun::First);
    assert_eq!(begin(f, &two).await, OnceBegun::Busy { run: one.id }, "the first one is at it");
    assert!(!finish(f, &two, "2").await, "nor does it say that it is done");
    assert!(finish(f, &one, "1").await);
    assert_eq!(begin(f, &two).await, done("1"));

    // A run that ended without having finished it is not waited for.
    let (one, two) = (key(&held, 0, "order-18"), key(&held, 1, "order-18"));
    begin(f, &one).await;
    f.settle_one(held.report(0, Verdict::Dead)).await;
    assert!(matches!(begin(f, &two).await, OnceBegun::Unfinished { run, .. } if run == one.id));
    assert!(finish(f, &two, "2").await);
}

async fn tenants_and_jobs_share_nothing(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b"), hourly("globex/a")]).await;
    for at in ["acme/a", "acme/b", "globex/a"] {
        f.trigger(at).await;
    }
    let held = f.claim(3).await;
    for index in 0..3 {
        assert_eq!(begin(f, &key(&held, index, "order-17")).await, OnceBegun::First);
        assert!(finish(f, &key(&held, index, "order-17"), &index.to_string()).await);
    }
    for index in 0..3 {
        assert_eq!(begin(f, &key(&held, index, "order-17")).await, done(&index.to_string()));
    }
}

async fn it_is_kept_as_long_as_reports_are(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let over = f.claim(1).await;
    begin(f, &key(&over, 0, "over")).await;
    finish(f, &key(&over, 0, "over"), "1").await;
    f.settle(&over, Verdict::Succeeded).await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    begin(f, &key(&held, 0, "held")).await;
    f.store.prune(&term, HOUR, 1000).await.unwrap();
    assert_eq!(begin(f, &key(&held, 0, "over")).await, done("1"));
    f.advance(2 * HOUR).await;
    f.store.prune(&term, HOUR, 1000).await.unwrap();
    assert_eq!(begin(f, &key(&held, 0, "over")).await, OnceBegun::First);
    assert!(finish(f, &key(&held, 0, "held"), "1").await, "that of a run that is not over is kept");
}

/// Each of them is told to do it or to leave it; one does.
async fn of_many_that_begin_at_once_one_does_it(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    for _ in 0..8 {
        f.trigger("acme/a").await;
    }
    let held = f.claim(8).await;
    for round in 0..5 {
        let calls: Vec<_> = (0..8)
            .map(|index| {
                let (store, key) = (f.store.clone(), key(&held, index, &format!("round-{round}")));
                tokio::spawn(async move { store.begin_once(&key).await.unwrap() })
            })
            .collect();
        let mut first = 0;
        for call in calls {
            match call.await.unwrap() {
                OnceBegun::First => first += 1,
                OnceBegun::Busy { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(first, 1);
    }
}

both!(
    what_is_done_is_not_begun_again,
    the_next_attempt_sees_what_was_begun_and_takes_it_over,
    a_zombie_begins_and_finishes_nothing,
    runs_that_share_a_scope_do_it_once,
    tenants_and_jobs_share_nothing,
    it_is_kept_as_long_as_reports_are,
    of_many_that_begin_at_once_one_does_it,
);
