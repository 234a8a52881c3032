//! Whose item is next: tenants share a line by weight and run time, and nobody waits behind another one's backlog.

use std::collections::HashMap;
use std::time::Duration;

use leasehold_common::store::{Charge, ClaimedRun, Lane, QueueDepth, Served, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, TenantWords as _, at_once, cron, hourly, path, tenant};
use leasehold_tests::stores::Fixture;

const MS: Duration = Duration::from_millis(1);

/// A job whose items may run beside each other.
fn wide(at: &str) -> Job {
    hourly(at).allow_overlap()
}

/// How often each tenant stands in a list.
fn count<'a>(items: impl IntoIterator<Item = &'a ClaimedRun>) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item.tenant.to_string()).or_default() += 1;
    }
    counts
}

/// Claims, runs and charges until so much time was spent: what each tenant got of it. Runs of a tenant take what `takes`
/// says.
async fn serve(
    f: &Fixture,
    limit: u32,
    total: Duration,
    takes: impl Fn(&str) -> Duration,
) -> HashMap<String, Duration> {
    let mut spent: HashMap<String, Duration> = HashMap::new();
    while spent.values().sum::<Duration>() < total {
        let held = f.claim(limit).await;
        assert!(!held.items().is_empty(), "the line is empty after {spent:?}");
        for item in held.items() {
            *spent.entry(item.tenant.to_string()).or_default() += takes(item.tenant.as_str());
        }
        f.settle(&held, Verdict::Succeeded).await;
        f.charge(&held, |item| takes(item.tenant.as_str())).await;
    }
    spent
}

/// Each share is within so many percent of what the weights say.
fn shares_are_near(spent: &HashMap<String, Duration>, weights: &[(&str, u32)], percent: f64) {
    let total: Duration = spent.values().sum();
    let weight: u32 = weights.iter().map(|(_, weight)| weight).sum();
    for (tenant, of) in weights {
        let due = total.as_secs_f64() * f64::from(*of) / f64::from(weight);
        let got = spent.get(*tenant).map_or(0.0, Duration::as_secs_f64);
        assert!((got / due - 1.0).abs() * 100.0 <= percent, "{tenant} got {got} s, not {due} s: {spent:?}");
    }
}

async fn two_tenants_with_a_backlog_take_turns(f: &Fixture) {
    f.apply(&[wide("acme/a"), wide("globex/a")]).await;
    f.backlog("acme/a", 40).await;
    f.backlog("globex/a", 40).await;
    let held = f.claim(20).await;
    let got = count(held.items());
    assert_eq!(got["acme"] + got["globex"], 20);
    assert!(got["acme"].abs_diff(got["globex"]) <= 2, "{got:?}");
    // And not first the one and then the other.
    let turns = held.items().windows(2).filter(|pair| pair[0].tenant != pair[1].tenant).count();
    assert!(turns >= 17, "{turns} turns of 19");
}

async fn one_tenant_alone_is_served_in_the_order_of_its_due_times(f: &Fixture) {
    let jobs: Vec<_> = (10..40).map(|s| cron(&format!("acme/s{s}"), &format!("{s} 30 * * * *"))).collect();
    f.apply(&jobs).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    // They become ready piece by piece, and what they take is learnt meanwhile.
    f.advance_to(f.live("acme/s19").await[0].scheduled_for).await;
    f.activate().await;
    let first = f.claim_from(&["default"], 4).await;
    f.settle(&first, Verdict::Succeeded).await;
    f.charge(&first, |_| 2 * MS).await;
    f.advance_to(f.live("acme/s29").await[0].scheduled_for).await;
    f.activate().await;
    let second = f.claim_from(&["default"], 4).await;
    f.settle(&second, Verdict::Succeeded).await;
    f.charge(&second, |_| 300 * MS).await;
    f.advance_to(f.live("acme/s39").await[0].scheduled_for).await;
    f.activate().await;
    let third = f.claim_from(&["default"], 100).await;
    let all = [first.jobs(), second.jobs(), third.jobs()].concat();
    assert_eq!(all, (10..40).map(|s| format!("s{s}")).collect::<Vec<_>>());
}

async fn shares_follow_the_weights(f: &Fixture) {
    let weights = [("one", 1), ("two", 2), ("four", 4)];
    let tenants = weights.map(|(id, weight)| tenant(id).weighs(weight));
    f.apply_of(&tenants, &weights.map(|(id, _)| wide(&format!("{id}/a")))).await;
    for (id, _) in weights {
        f.backlog(&format!("{id}/a"), 1_000).await;
    }
    let spent = serve(f, 14, 1_400 * 20 * MS, |_| 20 * MS).await;
    shares_are_near(&spent, &weights, 5.0);
}

/// Weights are looked at whenever places are dealt.
async fn a_new_weight_counts_for_what_comes_next(f: &Fixture) {
    let jobs = [wide("acme/a"), wide("globex/a")];
    f.apply(&jobs).await;
    f.apply_of(&[tenant("acme").weighs(3)], &jobs).await;
    f.backlog("acme/a", 300).await;
    f.backlog("globex/a", 300).await;
    let spent = serve(f, 10, 300 * 10 * MS, |_| 10 * MS).await;
    shares_are_near(&spent, &[("acme", 3), ("globex", 1)], 5.0);
}

/// Before anything is known of what runs take, too.
async fn places_follow_the_weights_of_the_moment(f: &Fixture) {
    let jobs = [wide("acme/a"), wide("globex/a")];
    f.apply(&jobs).await;
    f.backlog("acme/a", 1).await;
    f.backlog("globex/a", 1).await;
    f.settle(&f.claim(2).await, Verdict::Succeeded).await;
    f.apply_of(&[tenant("acme").weighs(3)], &jobs).await;
    f.advance(MINUTE).await;
    f.backlog("acme/a", 60).await;
    f.backlog("globex/a", 60).await;
    let got = count(f.claim(60).await.items());
    // Who comes second may begin a moment earlier.
    assert!((40..=50).contains(&got["acme"]), "{got:?}");
}

/// What runs took is less than was thought: later items stay behind the earlier ones of their tenant all the same.
async fn a_tenants_own_items_keep_their_order(f: &Fixture) {
    let jobs: Vec<_> = (10..50).map(|s| cron(&format!("acme/s{s}"), &format!("{s} 30 * * * *"))).collect();
    f.apply(&jobs).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(f.live("acme/s29").await[0].scheduled_for).await;
    f.activate().await;
    let first = f.claim_from(&["default"], 4).await;
    f.settle(&first, Verdict::Succeeded).await;
    f.charge(&first, |_| 60 * MS).await;
    f.advance_to(f.live("acme/s49").await[0].scheduled_for).await;
    f.activate().await;
    let second = f.claim_from(&["default"], 100).await;
    assert_eq!(second.jobs(), (14..50).map(|s| format!("s{s}")).collect::<Vec<_>>());
}

/// A tenant's runs count by what they take: no more time goes to the one whose runs are long.
async fn shares_are_of_time_and_not_of_runs(f: &Fixture) {
    f.apply(&[wide("long/a"), wide("short/a")]).await;
    let takes = |tenant: &str| if tenant == "long" { 400 * MS } else { 50 * MS };
    // The first few show what they take.
    f.backlog("long/a", 20).await;
    f.backlog("short/a", 20).await;
    serve(f, 1, 3_000 * MS, takes).await;
    f.backlog("long/a", 300).await;
    f.backlog("short/a", 800).await;
    let spent = serve(f, 1, 60_000 * MS, takes).await;
    shares_are_near(&spent, &[("long", 1), ("short", 1)], 5.0);
}

/// What stood in line already when it became known what runs take is corrected, too.
async fn a_backlog_with_a_wrong_estimate_is_corrected(f: &Fixture) {
    f.apply(&[wide("long/a"), wide("short/a")]).await;
    let takes = |tenant: &str| if tenant == "long" { 1_000 * MS } else { 20 * MS };
    f.backlog("long/a", 100).await;
    f.backlog("short/a", 3_000).await;
    let spent = serve(f, 5, 80_000 * MS, takes).await;
    shares_are_near(&spent, &[("long", 1), ("short", 1)], 10.0);
}

async fn a_backlog_delays_nobody_elses_item(f: &Fixture) {
    f.apply(&[wide("acme/a"), wide("globex/a"), wide("umbrella/a")]).await;
    f.backlog("acme/a", 3_000).await;
    for round in 0..40 {
        let held = f.claim(20).await;
        assert_eq!(held.items().len(), 20);
        f.settle(&held, Verdict::Succeeded).await;
        f.charge(&held, |_| 20 * MS).await;
        if round % 10 == 3 {
            // One who has had runs before, and one who has had none.
            let id = f.trigger("globex/a").await;
            assert_eq!(f.claim(2).await.ids()[0], id, "round {round}");
        }
    }
    f.backlog("umbrella/a", 1).await;
    assert_eq!(f.claim(2).await.items()[0].tenant.as_str(), "umbrella");
}

/// Who was idle may go first for a moment, but saves up nothing.
async fn an_idle_tenant_saves_nothing_up(f: &Fixture) {
    f.apply(&[wide("acme/a"), wide("globex/a")]).await;
    f.backlog("globex/a", 1).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.backlog("acme/a", 2_000).await;
    serve(f, 20, 1_000 * 100 * MS, |_| 100 * MS).await;
    f.backlog("globex/a", 900).await;
    let spent = serve(f, 10, 400 * 100 * MS, |_| 100 * MS).await;
    shares_are_near(&spent, &[("acme", 1), ("globex", 1)], 10.0);
}

/// Shares are about who waits: what a tenant used while nobody else wanted it is forgotten.
async fn what_was_used_while_nobody_waited_is_not_held_against_a_tenant(f: &Fixture) {
    f.apply(&[wide("acme/a"), wide("globex/a")]).await;
    f.backlog("acme/a", 20).await;
    let alone = f.claim(20).await;
    assert_eq!(alone.items().len(), 20);
    f.advance(MINUTE).await;
    f.settle(&alone, Verdict::Succeeded).await;
    f.charge(&alone, |_| MINUTE).await;
    f.backlog("globex/a", 300).await;
    f.backlog("acme/a", 300).await;
    let spent = serve(f, 10, 60 * MINUTE, |_| MINUTE).await;
    shares_are_near(&spent, &[("acme", 1), ("globex", 1)], 10.0);
}

async fn priorities_go_first_whatever_was_used(f: &Fixture) {
    f.apply(&[wide("acme/a"), wide("acme/urgent").priority(-5), wide("globex/a")]).await;
    f.backlog("acme/a", 300).await;
    serve(f, 20, 200 * 50 * MS, |_| 50 * MS).await;
    f.backlog("globex/a", 10).await;
    f.backlog("acme/urgent", 10).await;
    let held = f.claim(12).await;
    assert!(held.jobs()[..10].iter().all(|job| *job == "urgent"), "{:?}", held.jobs());
    assert!(held.items()[..10].iter().all(|item| item.lane.priority == -5));
}

/// Runs that come back (a retry, a rescue) get a new place, behind nobody's backlog but their own tenant's.
async fn what_comes_back_gets_a_fair_place(f: &Fixture) {
    f.apply(&[wide("acme/a"), wide("globex/a"), wide("umbrella/a")]).await;
    let term = f.elect().await;
    f.trigger("globex/a").await;
    let failed = f.claim(1).await;
    f.trigger("umbrella/a").await;
    let lost = f.claim(1).await;
    f.backlog("acme/a", 1_000).await;
    f.settle(&failed, Verdict::Retry(Duration::ZERO)).await;
    f.advance(MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
    let mut ids = f.claim(3).await.ids();
    ids.retain(|id| failed.ids().contains(id) || lost.ids().contains(id));
    assert_eq!(ids.len(), 2, "both are among the next");
}

async fn a_claim_says_what_a_place_was_dealt_with(f: &Fixture) {
    f.apply(&[wide("acme/a").queue("default").priority(3)]).await;
    f.backlog("acme/a", 2).await;
    let first = f.claim(1).await;
    let item = first.only();
    assert_eq!(item.lane, Lane { queue: "default".parse().unwrap(), priority: 3 });
    assert_eq!(item.cost, 100 * MS, "nothing is known yet");
    f.settle(&first, Verdict::Succeeded).await;
    f.charge(&first, |_| 40 * MS).await;
    let second = f.claim(1).await;
    assert!(second.only().tag > item.tag || second.only().cost < item.cost);
    f.backlog("acme/a", 1).await;
    assert_eq!(f.claim(1).await.only().cost, 40 * MS, "now it is");
}

/// Charges are hints: nothing depends on one, and one that means nothing does nothing.
async fn charges_of_nobody_are_taken(f: &Fixture) {
    f.store.charge(&[], &[]).await.unwrap();
    let lane = Lane { queue: "nowhere".parse().unwrap(), priority: 0 };
    let (tenant, _) = path("nobody/a");
    let charge = Charge { lane: lane.clone(), tenant, runs: 3, spent: HOUR, estimated: MS };
    f.store.charge(&[charge.clone(), charge], &[Served { lane, tag: 5 }]).await.unwrap();
    f.apply(&[wide("nobody/a").queue("nowhere")]).await;
    let id = f.trigger("nobody/a").await;
    assert_eq!(f.claim_from(&["nowhere"], 1).await.ids(), [id]);
}

async fn charges_and_activations_at_once_lose_nothing(f: &Fixture) {
    const TENANTS: u32 = 12;
    let jobs: Vec<_> = (0..TENANTS).map(|n| wide(&format!("t{n}/a")).priority(i16::try_from(n % 3).unwrap())).collect();
    f.apply(&jobs).await;
    let keys: Vec<_> = f.store.snapshot().await.unwrap().jobs.iter().map(|job| job.key).collect();
    let now = f.now().await;
    for key in keys {
        let due: Vec<_> = (1..=50).map(|n| now - Duration::from_secs(n)).collect();
        f.store.backfill(key, &due, Duration::ZERO).await.unwrap();
    }
    let calls: Vec<_> = (0..4_u32)
        .map(|seed| {
            let store = f.store.clone();
            tokio::spawn(async move {
                for round in 0..40_u32 {
                    store.activate(9).await.unwrap();
                    let mut charges: Vec<_> = (0..TENANTS)
                        .map(|n| Charge {
                            lane: Lane { queue: "default".parse().unwrap(), priority: i16::try_from(n % 3).unwrap() },
                            tenant: format!("t{n}").parse().unwrap(),
                            runs: 1 + round,
                            spent: MS * (1 + 7 * ((round + seed) % 3) * ((round + n) % 5)),
                            estimated: MS,
                        })
                        .collect();
                    charges.rotate_left((seed * 3) as usize);
                    store.charge(&charges, &[]).await.unwrap();
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    while f.activate().await > 0 {}
    assert_eq!(f.claim(10_000).await.items().len(), 50 * TENANTS as usize);
}

async fn queues_tell_their_depth_and_age(f: &Fixture) {
    assert_eq!(f.store.queues().await.unwrap(), []);
    f.apply(&[wide("acme/a"), wide("acme/big").queue("big").limited(at_once(1)), wide("acme/idle").queue("idle")])
        .await;
    f.backlog("acme/a", 5).await;
    f.advance(MINUTE).await;
    f.backlog("acme/big", 4).await;
    f.claim(2).await;
    for _ in 0..5 {
        f.claim_from(&["big"], 10).await;
    }
    let queues = f.store.queues().await.unwrap();
    let names: Vec<_> = queues.iter().map(|queue| queue.queue.as_str()).collect();
    assert_eq!(names, ["big", "default"]);
    let QueueDepth { depth, limited, running, oldest_age_ms, .. } = &queues[1];
    assert_eq!((*depth, *limited, *running), (3, 0, 2));
    assert!(oldest_age_ms.is_some_and(|age| (60_000..120_000).contains(&age)), "{oldest_age_ms:?}");
    let QueueDepth { depth, limited, running, oldest_age_ms, .. } = &queues[0];
    assert_eq!((*depth, *limited, *running, *oldest_age_ms), (0, 3, 1, None));
    // What is due and not ready yet waits, too; what is not due does not.
    let term = f.elect().await;
    f.fan_out(&term, 2 * HOUR).await;
    f.advance(HOUR).await;
    let queues = f.store.queues().await.unwrap();
    assert_eq!(queues.iter().map(|queue| queue.depth).collect::<Vec<_>>(), [1, 4, 1]);
}

both!(
    two_tenants_with_a_backlog_take_turns,
    one_tenant_alone_is_served_in_the_order_of_its_due_times,
    shares_follow_the_weights,
    a_new_weight_counts_for_what_comes_next,
    places_follow_the_weights_of_the_moment,
    a_tenants_own_items_keep_their_order,
    shares_are_of_time_and_not_of_runs,
    a_backlog_with_a_wrong_estimate_is_corrected,
    a_backlog_delays_nobody_elses_item,
    an_idle_tenant_saves_nothing_up,
    priorities_go_first_whatever_was_used,
    what_comes_back_gets_a_fair_place,
    a_claim_says_what_a_place_was_dealt_with,
    charges_of_nobody_are_taken,
    charges_and_activations_at_once_lose_nothing,
    queues_tell_their_depth_and_age,
);

mod what_was_used_while_nobody_waited_is_not_held_against_a_tenant {
    use leasehold_tests::stores::Fixture;

    /// On PostgreSQL an empty line moves on with the clock only.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        super::what_was_used_while_nobody_waited_is_not_held_against_a_tenant(
            &Fixture::sqlite().await.at_five_past().await,
        )
        .await;
    }
}
