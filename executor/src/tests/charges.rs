//! What is charged for runs, and when.

use std::time::Duration;

use leasehold_common::store::{ClaimedRun, ErrorKind, Lane, Served};
use tokio::time::{Instant, sleep};

use super::{SECOND, start, start_plain};
use crate::ExecutorOptions;
use crate::fake::{Fake, named};

const MS: Duration = Duration::from_millis(1);

fn lane(priority: i16) -> Lane {
    Lane { queue: Default::default(), priority }
}

/// A run with a place in line.
fn placed(fake: &Fake, handler: &str, priority: i16, tag: i64, cost: Duration) -> ClaimedRun {
    ClaimedRun { lane: lane(priority), tag, cost, ..fake.run_with(named(handler), 2 * SECOND, 1) }
}

#[tokio::test(start_paused = true)]
async fn what_runs_took_is_summed_up_by_lane_and_tenant() {
    let fake = Fake::new();
    for (handler, priority, tag) in [("hang", 0, 10), ("hang", 0, 30), ("ok", 0, 20), ("ok", -5, 7)] {
        fake.push(placed(&fake, handler, priority, tag, 100 * MS));
    }
    fake.push(ClaimedRun { tenant: "globex".parse().unwrap(), ..placed(&fake, "ok", 0, 5, 40 * MS) });
    let running = start_plain(&fake);
    fake.until("the end of all", |state| (state.reports.len() == 5).then_some(())).await;
    running.stop().await;
    let state = fake.state();
    let sum = |priority: i16, tenant: &str| {
        let these = state.charged.iter().filter(|c| c.lane == lane(priority) && c.tenant.as_str() == tenant);
        these.fold((0, Duration::ZERO, Duration::ZERO), |(runs, spent, estimated), c| {
            (runs + c.runs, spent + c.spent, estimated + c.estimated)
        })
    };
    let (runs, spent, estimated) = sum(0, "acme");
    assert_eq!((runs, estimated), (3, 300 * MS));
    assert!((4 * SECOND..4 * SECOND + 100 * MS).contains(&spent), "two ran into their timeout: {spent:?}");
    assert_eq!((sum(-5, "acme").0, sum(-5, "acme").2), (1, 100 * MS));
    assert_eq!((sum(0, "globex").0, sum(0, "globex").2), (1, 40 * MS));
    let mut served = state.served.clone();
    served.sort_by(|a, b| a.lane.cmp(&b.lane));
    assert_eq!(served, [Served { lane: lane(-5), tag: 7 }, Served { lane: lane(0), tag: 30 }]);
}

#[tokio::test(start_paused = true)]
async fn charges_gather_for_a_quarter_of_a_second_and_nothing_is_sent_without_any() {
    let fake = Fake::new();
    let running = start_plain(&fake);
    sleep(10 * SECOND).await;
    assert_eq!(fake.count("charge"), 0);
    for round in 0..200 {
        fake.push(placed(&fake, "ok", 0, round, MS));
        fake.hint();
        sleep(10 * MS).await;
    }
    sleep(SECOND).await;
    let sent = fake.count("charge");
    assert!((4..=9).contains(&sent), "{sent} calls in two seconds");
    sleep(10 * SECOND).await;
    assert_eq!(fake.count("charge"), sent);
    assert_eq!(fake.state().charged.iter().map(|charge| charge.runs).sum::<u32>(), 200);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_fails_is_dropped_and_holds_up_nothing() {
    let fake = Fake::new();
    fake.fail("charge", ErrorKind::Unavailable, 1);
    let running = start_plain(&fake);
    let first = fake.push(placed(&fake, "ok", 0, 1, MS));
    fake.report_of(first).await;
    fake.until("a failed charge", |state| state.calls.iter().any(|(call, _)| *call == "charge").then_some(())).await;
    assert!(running.health.snapshot().ready);
    fake.push(placed(&fake, "ok", 0, 2, MS));
    fake.until("a charge", |state| (!state.charged.is_empty()).then_some(())).await;
    assert_eq!(fake.state().charged.iter().map(|charge| charge.runs).sum::<u32>(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_at_the_end_of_a_drain_is_sent_at_once() {
    let fake = Fake::new();
    fake.push(placed(&fake, "stubborn", 0, 1, MS));
    let options = ExecutorOptions { drain_timeout: SECOND, ..Default::default() };
    let running = start(&fake, options, |executor| executor);
    fake.until("a claim", |state| (!state.claims.is_empty()).then_some(())).await;
    sleep(SECOND / 2).await;
    running.stop().await;
    let ended = fake.state().calls.iter().rfind(|(call, _)| *call == "settle").unwrap().1;
    assert!(Instant::now() < ended + 10 * MS, "{:?}", ended.elapsed());
    assert_eq!(fake.state().charged.iter().map(|charge| charge.runs).sum::<u32>(), 1);
}
