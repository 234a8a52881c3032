//! The stream of reports: who follows `seq` never misses one.

use std::time::Duration;

use leasehold_common::run::{Outcome, Report};
use leasehold_common::store::{RunFilter, Verdict};
use leasehold_tests::steps::{HOUR, hourly, path};
use leasehold_tests::stores::Fixture;

async fn finish(f: &Fixture, at: &str, verdict: Verdict) {
    f.trigger(at).await;
    f.settle(&f.claim(1).await, verdict).await;
}

/// Six reports of three jobs.
async fn some(f: &Fixture) -> Vec<Report> {
    f.apply(&[hourly("acme/a"), hourly("acme/b"), hourly("globex/a")]).await;
    finish(f, "acme/a", Verdict::Succeeded).await;
    finish(f, "acme/b", Verdict::Dead).await;
    finish(f, "globex/a", Verdict::Succeeded).await;
    finish(f, "acme/a", Verdict::Retry(Duration::ZERO)).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    finish(f, "globex/a", Verdict::Cancelled).await;
    let reports = f.reports().await;
    assert_eq!(reports.len(), 6);
    reports
}

async fn numbers_grow_and_the_last_one_is_known(f: &Fixture) {
    assert_eq!(f.store.last_seq().await.unwrap(), 0);
    assert_eq!(f.store.reports(0, &RunFilter::default(), 10).await.unwrap(), (vec![], 0));
    let reports = some(f).await;
    assert!(reports.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let last = reports.last().unwrap().seq;
    assert_eq!(f.store.last_seq().await.unwrap(), last);
    assert_eq!(f.store.reports(last, &RunFilter::default(), 10).await.unwrap(), (vec![], last));
}

async fn filters(f: &Fixture) {
    let all = some(f).await;
    let (acme, a) = path("acme/a");
    let one = |filter: RunFilter, expected: fn(&Report) -> bool| {
        let wanted: Vec<_> = all.iter().filter(|report| expected(report)).cloned().collect();
        let last = all.last().unwrap().seq;
        async move {
            let (reports, seen) = f.store.reports(0, &filter, 100).await.unwrap();
            assert!(!reports.is_empty());
            assert_eq!((reports, seen), (wanted, last), "{filter:?}");
        }
    };
    one(RunFilter { tenants: vec![acme.clone()], ..Default::default() }, |r| r.tenant.as_str() == "acme").await;
    one(RunFilter { jobs: vec![a.clone()], ..Default::default() }, |r| r.job.as_str() == "a").await;
    one(RunFilter { outcomes: vec![Outcome::Dead, Outcome::Failed], ..Default::default() }, |r| {
        matches!(r.outcome, Outcome::Dead | Outcome::Failed)
    })
    .await;
    let both = RunFilter {
        tenants: vec![acme, path("globex/a").0],
        jobs: vec![a],
        outcomes: vec![Outcome::Succeeded],
        states: vec![],
    };
    one(both, |r| r.job.as_str() == "a" && r.outcome == Outcome::Succeeded).await;
}

/// Page by page, with a filter that few reports pass: the answer says how far it has looked.
async fn paging_never_skips(f: &Fixture) {
    let all = some(f).await;
    let dead = RunFilter { outcomes: vec![Outcome::Dead, Outcome::Cancelled], ..RunFilter::default() };
    for (filter, expected) in [(RunFilter::default(), 6), (dead, 2)] {
        let (mut after, mut read, mut pages) = (0, Vec::new(), 0);
        loop {
            let (page, seen) = f.store.reports(after, &filter, 2).await.unwrap();
            assert!(page.len() <= 2 && page.iter().all(|report| report.seq > after && report.seq <= seen));
            if seen == after {
                break;
            }
            read.extend(page);
            after = seen;
            pages += 1;
        }
        assert_eq!((read.len(), pages, after), (expected, 3, all.last().unwrap().seq));
        if expected == 6 {
            assert_eq!(read, all);
        }
    }
}

async fn a_replay_from_zero_and_a_resume_give_the_same(f: &Fixture) {
    let all = some(f).await;
    for (index, report) in all.iter().enumerate() {
        let (rest, _) = f.store.reports(report.seq, &RunFilter::default(), 100).await.unwrap();
        assert_eq!(rest, all[index + 1..]);
    }
}

/// A reader that follows while many write sees exactly what is there in the end.
async fn a_reader_that_follows_writers_misses_nothing(f: &Fixture) {
    const RUNS: usize = 400;
    f.apply(&(0..RUNS).map(|n| hourly(&format!("t{}/j{n}", n % 7))).collect::<Vec<_>>()).await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let held = f.claim(1000).await;
    let reader = tokio::spawn({
        let store = f.store.clone();
        async move {
            let (mut after, mut read) = (0, Vec::new());
            while read.len() < RUNS {
                let (page, seen) = store.reports(after, &RunFilter::default(), 50).await.unwrap();
                read.extend(page.into_iter().map(|report| report.seq));
                after = seen;
            }
            read
        }
    });
    let reports = held.reports(Verdict::Succeeded);
    let writers: Vec<_> = reports
        .chunks(RUNS / 4)
        .map(|part| {
            let (store, part) = (f.store.clone(), part.to_vec());
            tokio::spawn(async move {
                for few in part.chunks(5) {
                    store.settle(uuid::Uuid::now_v7(), few, &[]).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let read =
        tokio::time::timeout(leasehold_tests::wait::PATIENCE, reader).await.expect("a report was missed").unwrap();
    assert_eq!(read, f.reports().await.iter().map(|report| report.seq).collect::<Vec<_>>());
}

both!(
    numbers_grow_and_the_last_one_is_known,
    filters,
    paging_never_skips,
    a_replay_from_zero_and_a_resume_give_the_same,
    a_reader_that_follows_writers_misses_nothing,
);

// What only concurrent writers can show.

const INSERT: &str = "INSERT INTO report (id, job_key, tenant_id, cause, due, attempt, outcome, finished_at)
    SELECT gen_random_uuid(), key, tenant_id, 0, 0, 0, 5, 0 FROM job LIMIT 1 RETURNING seq";

/// A report that was written first and commits last: nothing with a higher number becomes visible before it.
async fn reports_become_visible_in_order(f: &Fixture) {
    use sqlx::{Connection as _, Executor as _};
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    f.trigger("acme/b").await;
    let held = f.claim(1).await;
    let mut slow = f.pg().await;
    let mut open = slow.begin().await.unwrap();
    open.execute("SELECT order_reports()").await.unwrap();
    let first: i64 = sqlx::query_scalar(INSERT).fetch_one(&mut *open).await.unwrap();

    let store = f.store.clone();
    let settle = tokio::spawn(async move {
        store.settle(held.executor, &held.reports(Verdict::Succeeded), &[held.claim()]).await.unwrap()
    });
    f.waits(&settle).await;
    assert_eq!(f.reports().await, [], "neither is visible");
    assert!(!settle.is_finished());
    open.commit().await.unwrap();
    settle.await.unwrap();
    let reports = f.reports().await;
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0].seq, first);
    assert!(reports[1].seq > first && reports[1].job.as_str() == "b");
}

/// Somebody else's transaction, with an id and a lock of its own, stays open for hours: nobody waits for it.
async fn an_unrelated_open_transaction_delays_nobody(f: &Fixture) {
    use sqlx::{Connection as _, Executor as _};
    f.apply(&[hourly("acme/a")]).await;
    f.execute("CREATE TABLE public.mine (n integer)").await;
    let mut other = f.pg().await;
    let mut open = other.begin().await.unwrap();
    open.execute("INSERT INTO public.mine VALUES (1)").await.unwrap();
    for expected in 1..=3 {
        finish(f, "acme/a", Verdict::Succeeded).await;
        let (reports, seen) = f.store.reports(0, &RunFilter::default(), 100).await.unwrap();
        assert_eq!((reports.len(), reports.last().unwrap().seq), (expected, seen));
        assert_eq!(f.store.last_seq().await.unwrap(), seen);
    }
    open.rollback().await.unwrap();
}

/// A writer that gives up leaves a gap in the numbers and no reader behind.
async fn a_writer_that_rolls_back_leaves_only_a_gap(f: &Fixture) {
    use sqlx::{Connection as _, Executor as _};
    f.apply(&[hourly("acme/a")]).await;
    let mut other = f.pg().await;
    let mut open = other.begin().await.unwrap();
    open.execute("SELECT order_reports()").await.unwrap();
    let lost: i64 = sqlx::query_scalar(INSERT).fetch_one(&mut *open).await.unwrap();
    open.rollback().await.unwrap();
    finish(f, "acme/a", Verdict::Succeeded).await;
    let (reports, seen) = f.store.reports(0, &RunFilter::default(), 100).await.unwrap();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].seq > lost && seen == reports[0].seq);
}

postgres!(
    reports_become_visible_in_order,
    an_unrelated_open_transaction_delays_nobody,
    a_writer_that_rolls_back_leaves_only_a_gap,
);
