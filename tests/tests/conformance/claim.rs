//! Who gets which item, and which items must not run (invariants I5, I8, I10 and I11).

use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use leasehold_common::run::{Cause, Outcome, RunState};
use leasehold_common::store::{Cancelled, ClaimRequest, Settled, Verdict};
use leasehold_tests::steps::{HOUR, Held, Job, MINUTE, cron, every, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

/// Makes one due item of each job.
async fn all_due(f: &Fixture, jobs: &[Job]) {
    f.apply(jobs).await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.activate().await;
}

async fn items_come_by_priority_and_then_by_time(f: &Fixture) {
    f.apply(&[
        cron("acme/late", "40 59 * * * *"),
        cron("acme/early", "20 59 * * * *"),
        cron("globex/urgent", "50 59 * * * *").priority(-5),
        cron("acme/patient", "10 59 * * * *").priority(5),
    ])
    .await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(f.live("globex/urgent").await[0].scheduled_for).await;
    assert_eq!(f.claim(10).await.jobs(), ["urgent", "early", "late", "patient"]);
}

async fn no_more_than_the_limit_is_claimed(f: &Fixture) {
    all_due(f, &(0..5).map(|n| hourly(&format!("acme/j{n}"))).collect::<Vec<_>>()).await;
    assert_eq!(f.claim(2).await.items().len(), 2);
    assert_eq!(f.claim(0).await.items().len(), 0);
    assert_eq!(f.claim(2).await.items().len(), 2);
    assert_eq!(f.claim(2).await.items().len(), 1);
    assert_eq!(f.claim(2).await.items().len(), 0);
}

async fn only_the_queues_that_were_asked_for_are_served(f: &Fixture) {
    all_due(f, &[hourly("acme/plain"), hourly("acme/big").queue("big"), hourly("acme/slow").queue("slow")]).await;
    assert_eq!(f.claim_from(&["nowhere"], 10).await.items().len(), 0);
    assert_eq!(f.claim_from(&["big"], 10).await.jobs(), ["big"]);
    let mut both = f.claim_from(&["default", "slow"], 10).await;
    both.claimed.items.sort_by(|a, b| a.job.cmp(&b.job));
    assert_eq!(both.jobs(), ["plain", "slow"]);
    assert_eq!(f.claim_from(&[], 10).await.items().len(), 0);
}

async fn the_limit_holds_over_several_queues(f: &Fixture) {
    let jobs: Vec<_> = (0..12).map(|n| hourly(&format!("acme/j{n}")).queue(["a", "b", "c"][n % 3])).collect();
    all_due(f, &jobs).await;
    let mut seen = HashSet::new();
    for expected in [7, 5, 0] {
        let held = f.claim_from(&["a", "b", "c"], 7).await;
        assert_eq!(held.items().len(), expected);
        seen.extend(held.ids());
    }
    assert_eq!(seen.len(), 12);
}

async fn a_full_queue_does_not_starve_another(f: &Fixture) {
    let jobs: Vec<_> = (0..200).map(|n| hourly(&format!("acme/j{n}")).queue(["a", "b"][n % 2])).collect();
    all_due(f, &jobs).await;
    let mut parity = HashSet::new();
    for _ in 0..30 {
        for job in f.claim_from(&["a", "b"], 3).await.jobs() {
            parity.insert(job[1..].parse::<u32>().unwrap() % 2);
        }
    }
    assert_eq!(parity.len(), 2, "one queue had 100 items, and ninety were claimed from it alone");
}

async fn a_claim_says_all_that_an_executor_needs(f: &Fixture) {
    let job = hourly("acme/a");
    all_due(f, std::slice::from_ref(&job)).await;
    let held = f.claim(10).await;
    let item = held.only();
    let stored = f.store.snapshot().await.unwrap();
    assert_eq!((item.tenant.as_str(), item.job.as_str()), ("acme", "a"));
    assert_eq!(item.definition, job.definition.id());
    assert_eq!((item.cause, item.attempt, item.released), (Cause::Schedule, 1, 0));
    assert_eq!(item.scheduled_for, item.id.due());
    assert_eq!(item.id.job(), stored.jobs[0].key);
    let (tenant, revision) = f.store.tenants_by_id(std::slice::from_ref(&item.tenant)).await.unwrap().remove(0);
    assert_eq!((tenant.id.as_str(), revision), ("acme", item.tenant_revision));
    assert_eq!(f.state(item.id).await, RunState::Running);
    assert_eq!(f.store.run(item.id).await.unwrap().unwrap().run.executor, Some(held.executor.to_string()));
}

async fn every_claim_has_a_fresh_token_and_every_attempt_a_higher_number(f: &Fixture) {
    all_due(f, &[hourly("acme/a").attempts(4)]).await;
    let mut tokens = HashSet::new();
    for attempt in 1..=4 {
        let held = f.claim(1).await;
        assert_eq!(held.only().attempt, attempt);
        assert!(tokens.insert(held.claim()));
        f.settle(&held, Verdict::Retry(Duration::ZERO)).await;
    }
}

async fn an_idle_claim_leaves_nothing_behind(f: &Fixture) {
    assert_eq!(f.claim(5).await.claimed.dismissed, 0);
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    assert_eq!(f.number(&format!("SELECT count(*) FROM {schema}claim")).await, 0);
}

async fn claimers_lose_nothing(f: &Fixture, claimers: usize, items: usize) {
    let jobs: Vec<_> = (0..items).map(|n| hourly(&format!("t{}/j{n}", n % 20))).collect();
    all_due(f, &jobs).await;
    let processes = [f.store.clone(), f.another().await];
    let calls: Vec<_> = (0..claimers)
        .map(|n| {
            let store = processes[n % 2].clone();
            let request = ClaimRequest {
                executor: Uuid::now_v7(),
                queues: vec!["default".parse().unwrap()],
                limit: 30 + 7 * u32::try_from(n).unwrap(),
                ttl: MINUTE,
                abilities: None,
            };
            tokio::spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let claimed = store.claim(&request).await.unwrap();
                    assert_eq!(claimed.dismissed, 0);
                    if claimed.items.is_empty() {
                        return ids;
                    }
                    ids.extend(claimed.items.into_iter().map(|item| item.id));
                }
            })
        })
        .collect();
    let mut ids = Vec::new();
    for call in calls {
        ids.extend(call.await.unwrap());
    }
    ids.extend(f.claim(10_000).await.ids());
    assert_eq!(ids.len(), items);
    assert_eq!(ids.into_iter().collect::<HashSet<_>>().len(), items);
}

async fn two_claimers_at_once_share_the_line(f: &Fixture) {
    claimers_lose_nothing(f, 2, 2000).await;
}

async fn eight_claimers_at_once_share_the_line(f: &Fixture) {
    claimers_lose_nothing(f, 8, 3000).await;
}

async fn an_item_whose_job_is_running_ends_overlapped_and_the_others_start(f: &Fixture) {
    f.apply(&[hourly("acme/busy"), hourly("acme/free"), hourly("globex/free")]).await;
    let term = f.elect().await;
    f.trigger("acme/busy").await;
    let running = f.claim(1).await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;

    let held = f.claim(10).await;
    assert_eq!(held.jobs(), ["free", "free"]);
    assert_eq!(held.claimed.dismissed, 1);
    let report = f.reports().await.remove(0);
    assert_eq!((report.job.as_str(), report.outcome, report.attempt), ("busy", Outcome::Overlapped, 0));
    assert_eq!((report.started_at, report.duration_ms, report.executor), (None, None, None));
    assert!(report.error.unwrap().contains("still running"));
    assert_eq!(f.settle(&running, Verdict::Succeeded).await, [Settled::Recorded]);
}

async fn of_two_runs_of_one_job_in_one_batch_the_first_in_line_runs(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let triggered = f.trigger("acme/a").await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let held = f.claim(10).await;
    assert_eq!(held.ids(), [triggered]);
    assert_eq!(held.claimed.dismissed, 1);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Overlapped]);
}

async fn with_overlap_allowed_all_run(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    f.trigger("acme/a").await;
    assert_eq!(f.claim(1).await.items().len(), 1);
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let held = f.claim(10).await;
    assert_eq!(held.items().len(), 2);
    assert_eq!(held.claimed.dismissed, 0);
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded; 2]);
}

async fn overlap_holds_between_concurrent_claimers(f: &Fixture) {
    const JOBS: usize = 30;
    f.apply(&(0..JOBS).map(|n| hourly(&format!("acme/j{n}"))).collect::<Vec<_>>()).await;
    for n in 0..JOBS {
        for _ in 0..4 {
            f.trigger(&format!("acme/j{n}")).await;
        }
    }
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let store = f.store.clone();
            let queues = vec!["default".parse().unwrap()];
            let request = ClaimRequest { executor: Uuid::now_v7(), queues, limit: 7, ttl: MINUTE, abilities: None };
            tokio::spawn(async move {
                let mut jobs = Vec::new();
                loop {
                    let claimed = store.claim(&request).await.unwrap();
                    if claimed.items.is_empty() && claimed.dismissed == 0 {
                        return jobs;
                    }
                    jobs.extend(claimed.items.into_iter().map(|item| item.job));
                }
            })
        })
        .collect();
    let mut jobs = Vec::new();
    for call in calls {
        jobs.extend(call.await.unwrap());
    }
    loop {
        let held = f.claim(100).await;
        if held.items().is_empty() && held.claimed.dismissed == 0 {
            break;
        }
        jobs.extend(held.claimed.items.into_iter().map(|item| item.job));
    }
    assert_eq!(jobs.len(), JOBS);
    assert_eq!(jobs.into_iter().collect::<HashSet<_>>().len(), JOBS);
    let reports = f.reports().await;
    assert_eq!(reports.len(), 3 * JOBS);
    assert!(reports.iter().all(|report| report.outcome == Outcome::Overlapped));
}

async fn of_five_due_items_only_the_latest_runs(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, 5 * HOUR).await;
    f.advance(5 * HOUR).await;
    let due: Vec<_> = f.live("acme/a").await.iter().rev().map(|run| run.scheduled_for).collect();
    assert_eq!(due.len(), 5);
    let held = f.claim(10).await;
    assert_eq!(held.only().scheduled_for, due[4]);
    assert_eq!(held.claimed.dismissed, 4);
    let reports = f.reports().await;
    assert_eq!(reports.iter().map(|report| report.scheduled_for).collect::<Vec<_>>(), due[..4]);
    assert!(reports.iter().all(|report| (report.outcome, report.attempt) == (Outcome::Misfired, 0)));
}

async fn a_small_claim_works_through_what_is_missed(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    f.fan_out(&term, 5 * HOUR).await;
    f.advance(5 * HOUR).await;
    let mut jobs = Vec::new();
    for _ in 0..20 {
        let held = f.claim(1).await;
        if held.items().is_empty() && held.claimed.dismissed == 0 {
            break; // "if any was dismissed, ask again at once"
        }
        jobs.extend(held.claimed.items.into_iter().map(|item| item.job.to_string()));
    }
    jobs.sort();
    assert_eq!(jobs, ["a", "b"]);
    assert_eq!(f.reports().await.len(), 8);
}

async fn a_later_due_item_that_is_not_activated_yet_counts(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, 2 * HOUR).await;
    f.advance(HOUR).await;
    assert_eq!(f.activate().await, 1);
    f.advance(HOUR).await;
    let held = f.claim_from(&["default"], 10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1), "the later one is due, in `ahead`");
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Misfired]);
    assert_eq!(f.claim(10).await.items().len(), 1);
}

async fn a_later_item_that_is_not_due_does_not_count(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, 3 * HOUR).await;
    f.advance(HOUR).await;
    let held = f.claim(10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (1, 0));
}

async fn a_trigger_neither_misfires_nor_makes_others_misfire(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.advance(MINUTE).await;
    f.trigger("acme/a").await;
    let held = f.claim(10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (3, 0));
}

async fn an_interval_never_misfires(f: &Fixture) {
    f.apply(&[every("acme/a", MINUTE)]).await;
    let term = f.elect().await;
    let due = f.next_due("acme/a").await;
    f.fan_out(&term, MINUTE).await;
    f.advance(5 * HOUR).await;
    assert_eq!(f.claim(10).await.only().scheduled_for, due);
    assert_eq!(f.reports().await, []);
}

/// An apply that skipped a locked row, or an activation in flight, leaves items of the old schedule in line.
async fn an_item_of_an_older_schedule_ends_superseded(f: &Fixture) {
    all_due(f, &[hourly("acme/a"), hourly("acme/gone")]).await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}job SET version = 2, since = 2 WHERE name = 'a'")).await;
    f.execute(&format!("UPDATE {schema}job SET active = (1 = 0), next_due = NULL WHERE name = 'gone'")).await;
    let held = f.claim(10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 2));
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Superseded]);
    assert_eq!(f.outcomes("acme/gone").await, [Outcome::Cancelled]);
    assert_eq!(f.live("acme/a").await, []);
}

/// An item that must not run for several reasons ends for the first of these.
async fn of_several_reasons_the_first_counts(f: &Fixture) {
    use Outcome::{Cancelled, Dead, Expired, Misfired, Overlapped, Paused, Superseded};
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    let gone = "UPDATE job SET active = (1 = 0), next_due = NULL";
    let (spent, edited) = ("UPDATE ready SET attempt = 3", "UPDATE job SET since = version + 1");
    let paused = "UPDATE job SET paused_at = 1, paused_until = 9223372036854775807";
    let (expired, misfired) = ("UPDATE ready SET expires_at = 1", "UPDATE ready SET misfire_at = 1");
    let reasons = [(gone, Cancelled), (edited, Superseded), (paused, Paused), (expired, Expired), (misfired, Misfired)];
    let term = f.elect().await;
    for first in 0..=reasons.len() {
        let at = format!("acme/j{first}");
        f.apply(&[hourly(&at)]).await;
        f.trigger(&at).await;
        f.claim(1).await.only(); // it would overlap, too
        f.advance_to(f.next_due(&at).await).await;
        f.fan_out(&term, Duration::ZERO).await;
        f.activate().await;
        for (statement, _) in &reasons[first..] {
            let of_job =
                if statement.contains("UPDATE job") { format!("name = 'j{first}'") } else { "cause = 0".into() };
            let statement = statement.replacen("UPDATE ", &format!("UPDATE {schema}"), 1);
            f.execute(&format!("{statement} WHERE {of_job}")).await;
        }
        let held = f.claim(10).await;
        assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
        let expected = reasons.get(first).map_or(Overlapped, |(_, outcome)| *outcome);
        assert_eq!(f.outcomes(&at).await, [expected]);
    }
    // A retry: its job is gone, then it has no attempt left, then its time is over.
    let attempts = [(gone, Cancelled), (spent, Dead), (expired, Expired)];
    for (first, (_, expected)) in attempts.iter().enumerate() {
        let at = format!("acme/retry-{first}");
        f.apply(&[hourly(&at)]).await;
        let held = f.run_next(&term, &at).await;
        f.settle(&held, Verdict::Retry(Duration::ZERO)).await;
        f.activate().await;
        for (statement, _) in attempts[first..].iter().chain(&reasons[1..3]) {
            let of_job =
                if statement.contains("UPDATE job") { format!("name = 'retry-{first}'") } else { "cause = 0".into() };
            let statement = statement.replacen("UPDATE ", &format!("UPDATE {schema}"), 1);
            f.execute(&format!("{statement} WHERE {of_job}")).await;
        }
        assert_eq!(f.claim(10).await.claimed.dismissed, 1);
        assert_eq!(f.outcomes(&at).await, [Outcome::Failed, *expected]);
    }
}

async fn a_trigger_outlives_a_change_of_the_schedule(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let id = f.trigger("acme/a").await;
    f.apply(&[cron("acme/a", "30 * * * *")]).await;
    assert_eq!(f.claim(10).await.ids(), [id]);
}

/// What has started is not void: it is tried again, as the job is now.
async fn a_retry_outlives_a_change_of_the_schedule(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    f.settle(&held, Verdict::Retry(MINUTE)).await;
    let edited = cron("acme/a", "30 * * * *");
    f.apply(std::slice::from_ref(&edited)).await;
    f.advance(MINUTE).await;
    let again = f.claim(10).await;
    assert_eq!((again.only().id, again.only().attempt), (held.only().id, 2));
    assert_eq!(again.only().definition, edited.definition.id());
}

async fn an_item_without_an_attempt_left_ends_dead(f: &Fixture) {
    f.apply(&[hourly("acme/a").attempts(2)]).await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    // An executor that counts wrongly asks for a retry too many.
    f.settle(&held, Verdict::Retry(Duration::ZERO)).await;
    f.settle(&f.claim(1).await, Verdict::Retry(Duration::ZERO)).await;
    let held = f.claim(1).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Failed, Outcome::Failed, Outcome::Dead]);
    assert_eq!(f.reports().await[2].attempt, 2);
    assert_eq!(f.live("acme/a").await, []);
    // The job is free again.
    f.trigger("acme/a").await;
    assert_eq!(f.claim(1).await.items().len(), 1);
}

async fn a_later_attempt_knows_when_the_first_one_started(f: &Fixture) {
    f.apply(&[every("acme/a", HOUR).attempts(4)]).await;
    f.trigger("acme/a").await;
    let first = f.claim(1).await;
    assert_eq!(first.only().age, Duration::ZERO);
    f.advance(MINUTE).await;
    f.settle(&first, Verdict::Released).await;
    f.advance(MINUTE).await;
    f.activate().await;
    let second = f.claim(1).await;
    let near = |age: Duration, minutes: u32| age >= minutes * MINUTE && age < minutes * MINUTE + MINUTE / 2;
    assert!(near(second.only().age, 2), "{:?}", second.only().age);
    f.settle(&second, Verdict::Retry(MINUTE)).await;
    f.advance(MINUTE).await;
    f.activate().await;
    assert!(near(f.claim(1).await.only().age, 3), "it counts from the first attempt, whatever became of it");
}

async fn a_retry_is_taken_back_only_while_nobody_has_it(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    f.trigger("acme/a").await;
    f.settle(&f.claim(1).await, Verdict::Retry(Duration::ZERO)).await;
    f.activate().await;
    // The row in line comes back although the run has been claimed: only the row in `running` knows.
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("CREATE TABLE {schema}kept AS SELECT * FROM {schema}ready")).await;
    let held = f.claim(1).await;
    f.execute(&format!("INSERT INTO {schema}ready SELECT * FROM {schema}kept")).await;
    assert_eq!(f.claim(1).await.items(), []);
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
    assert_eq!(f.live("acme/a").await, [], "and it does not stay in line");
}

async fn a_cancelled_run_is_never_claimed(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let id = f.trigger("acme/a").await;
    assert_eq!(f.cancel(id).await, Cancelled::Ended);
    let held = f.claim(1).await;
    assert_eq!((held.items(), held.claimed.dismissed), ([].as_slice(), 0));
}

async fn a_line_full_of_items_that_must_not_run_hides_nothing(f: &Fixture) {
    f.apply(&[hourly("acme/busy").priority(-1), hourly("acme/free")]).await;
    f.trigger("acme/busy").await;
    f.claim(1).await.only();
    for _ in 0..20 {
        f.trigger("acme/busy").await;
    }
    f.trigger("acme/free").await;
    let mut calls = 0;
    let held: Held = loop {
        calls += 1;
        let held = f.claim(5).await;
        if !held.items().is_empty() {
            break held;
        }
        assert!(
            held.claimed.dismissed > 0,
            "nothing claimed and nothing dismissed, with {} left",
            f.live("acme/free").await.len()
        );
    };
    assert_eq!(held.jobs(), ["free"]);
    assert!(calls <= 5);
    assert_eq!(f.outcomes("acme/busy").await.len(), 20);
}

async fn lateness_counts_from_the_due_time(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let due = f.next_due("acme/a").await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(due + SignedDuration::from_secs(90)).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    let late = f.reports().await[0].lateness_ms;
    assert!((90_000..100_000).contains(&late), "{late}");
}

both!(
    items_come_by_priority_and_then_by_time,
    no_more_than_the_limit_is_claimed,
    only_the_queues_that_were_asked_for_are_served,
    the_limit_holds_over_several_queues,
    a_full_queue_does_not_starve_another,
    a_claim_says_all_that_an_executor_needs,
    every_claim_has_a_fresh_token_and_every_attempt_a_higher_number,
    an_idle_claim_leaves_nothing_behind,
    two_claimers_at_once_share_the_line,
    eight_claimers_at_once_share_the_line,
    an_item_whose_job_is_running_ends_overlapped_and_the_others_start,
    of_two_runs_of_one_job_in_one_batch_the_first_in_line_runs,
    with_overlap_allowed_all_run,
    overlap_holds_between_concurrent_claimers,
    of_five_due_items_only_the_latest_runs,
    a_small_claim_works_through_what_is_missed,
    a_later_due_item_that_is_not_activated_yet_counts,
    a_later_item_that_is_not_due_does_not_count,
    a_trigger_neither_misfires_nor_makes_others_misfire,
    an_interval_never_misfires,
    an_item_of_an_older_schedule_ends_superseded,
    of_several_reasons_the_first_counts,
    a_trigger_outlives_a_change_of_the_schedule,
    a_retry_outlives_a_change_of_the_schedule,
    an_item_without_an_attempt_left_ends_dead,
    a_later_attempt_knows_when_the_first_one_started,
    a_retry_is_taken_back_only_while_nobody_has_it,
    a_cancelled_run_is_never_claimed,
    a_line_full_of_items_that_must_not_run_hides_nothing,
    lateness_counts_from_the_due_time,
);

// What only concurrent writers can show.

/// Somebody has locked the head of the line, for however long: the others take what is behind it.
async fn what_others_have_is_passed_over(f: &Fixture) {
    use sqlx::{Connection as _, Executor as _};
    f.apply(&(0..5).map(|n| hourly(&format!("acme/j{n}"))).collect::<Vec<_>>()).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(f.live("acme/j0").await[0].scheduled_for).await;
    let mut other = f.pg().await;
    for (table, step) in [("ahead", "activate"), ("ready", "claim")] {
        let mut open = other.begin().await.unwrap();
        let head = format!("SELECT 1 FROM {table} ORDER BY tag LIMIT 1 FOR UPDATE");
        open.execute(sqlx::AssertSqlSafe(head)).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), async {
            match step {
                "activate" => usize::try_from(f.activate().await).unwrap(),
                _ => f.claim_from(&["default"], 10).await.items().len(),
            }
        });
        assert_eq!(answer.await.expect("it does not wait"), 4, "{step}");
        open.rollback().await.unwrap();
        f.activate().await;
    }
    assert_eq!(f.claim(10).await.items().len(), 1);
}

postgres!(what_others_have_is_passed_over);
