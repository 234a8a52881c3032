//! What people see: status, runs, tenants, jobs, executors; and hints.

use std::time::Duration;

use leasehold_common::definition::{Definition, HandlerSpec};
use leasehold_common::id::QueueName;
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{AttemptReport, ClaimRequest, ErrorKind, ExecutorInfo, Hint, Hints, RunFilter, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, cron, every, hourly, path, tenant};
use leasehold_tests::stores::Fixture;
use leasehold_tests::wait;
use uuid::Uuid;

async fn the_status_of_an_empty_store(f: &Fixture) {
    let status = f.store.status().await.unwrap();
    assert_eq!((status.leader, status.executors, status.next_due), (None, vec![], None));
    assert_eq!(status.queue, Default::default());
    assert_eq!(status.catalog, Default::default());
}

async fn the_status_counts_the_queue(f: &Fixture) {
    f.apply(&[cron("acme/soon", "10 * * * *"), hourly("acme/later"), hourly("acme/b"), hourly("acme/c")]).await;
    let term = f.elect().await;
    let first = f.next_due("acme/soon").await;
    assert_eq!(f.store.status().await.unwrap().next_due, Some(first));
    f.fan_out(&term, HOUR).await;
    f.trigger("acme/b").await;
    f.claim(1).await.only();
    f.trigger("acme/c").await;
    f.settle(&f.claim(1).await, Verdict::Retry(2 * HOUR)).await;

    let queue = f.store.status().await.unwrap().queue;
    assert_eq!((queue.depth, queue.waiting, queue.running, queue.oldest_age_ms), (0, 5, 1, None));
    f.advance_to(first + jiff::SignedDuration::from_secs(90)).await;
    for activated in [false, true] {
        if activated {
            assert_eq!(f.activate().await, 1);
        }
        let queue = f.store.status().await.unwrap().queue;
        assert_eq!((queue.depth, queue.waiting, queue.running), (1, 4, 1));
        let age = queue.oldest_age_ms.unwrap();
        assert!((90_000..100_000).contains(&age), "{age}");
    }
    // One in line, one due that is still ahead: the older one counts.
    f.advance(HOUR).await;
    let queue = f.store.status().await.unwrap().queue;
    assert_eq!(queue.depth, 4);
    assert!(queue.oldest_age_ms.unwrap() >= 3_690_000);
}

/// Takes `took` for each of its next runs.
async fn runs_that_take(f: &Fixture, term: &leasehold_common::lease::Term, at: &str, runs: usize, took: Duration) {
    for _ in 0..runs {
        f.advance_to(f.next_due(at).await).await;
        f.fan_out(term, Duration::ZERO).await;
        let held = f.claim(10).await;
        f.advance(took).await;
        let report = AttemptReport { duration: took, ..held.report(0, Verdict::Succeeded) };
        f.store.settle(held.executor, &[report], &[held.claim()]).await.unwrap();
    }
}

async fn jobs_whose_runs_outlast_the_time_between_them_are_named(f: &Fixture) {
    let term = f.elect().await;
    let slow = async || f.store.status().await.unwrap().slow_jobs;
    f.apply(&[hourly("acme/fast")]).await;
    runs_that_take(f, &term, "acme/fast", 3, 30 * MINUTE).await;
    f.apply(&[every("acme/interval", MINUTE)]).await;
    runs_that_take(f, &term, "acme/interval", 3, HOUR).await;
    f.apply(&[cron("acme/slow", "* * * * *"), hourly("acme/fast"), every("acme/interval", MINUTE)]).await;
    assert_eq!(slow().await, []);
    f.apply(&[cron("acme/slow", "* * * * *")]).await;
    runs_that_take(f, &term, "acme/slow", 2, 3 * MINUTE).await;
    assert_eq!(slow().await, [], "two runs say little");
    runs_that_take(f, &term, "acme/slow", 2, 3 * MINUTE).await;
    let found = slow().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].tenant.as_str(), found[0].job.as_str(), found[0].duration_ms), ("acme", "slow", 180_000));
    assert_eq!(found[0].interval_ms, 60_000, "what misfired in between counts");
}

async fn a_stalled_job_is_counted(f: &Fixture) {
    f.apply(&[every("acme/a", MINUTE), every("acme/b", MINUTE), hourly("acme/c")]).await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}job SET next_due = NULL")).await;
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 2);
}

fn executor(host: &str) -> ExecutorInfo {
    ExecutorInfo {
        id: Uuid::now_v7(),
        host: host.to_owned(),
        pid: 4711,
        version: "1.2.3".to_owned(),
        slots: 32,
        running: 3,
        queues: vec![QueueName::default(), "big".parse().unwrap()],
        draining: false,
        abilities: Vec::new(),
    }
}

async fn executors_are_listed_as_they_last_announced_themselves(f: &Fixture) {
    let (a, b) = (executor("a"), executor("b"));
    f.store.announce(&b).await.unwrap();
    f.store.announce(&a).await.unwrap();
    f.store.announce(&ExecutorInfo { running: 9, draining: true, ..b.clone() }).await.unwrap();
    let seen = f.store.status().await.unwrap().executors;
    assert_eq!(seen.iter().map(|view| view.id).collect::<Vec<_>>(), [a.id, b.id]);
    let view = &seen[0];
    assert_eq!((view.host.as_str(), view.pid, view.version.as_str(), view.slots), ("a", 4711, "1.2.3", 32));
    assert_eq!((view.running, view.draining, view.queues.join(",").as_str()), (3, false, "default,big"));
    assert!((0..10_000).contains(&view.seen_ms_ago));
    assert_eq!((seen[1].running, seen[1].draining), (9, true));

    f.store.retire(a.id).await.unwrap();
    f.store.retire(a.id).await.unwrap();
    assert_eq!(f.store.status().await.unwrap().executors.len(), 1);
    f.advance(5 * MINUTE).await;
    assert_eq!(f.store.status().await.unwrap().executors, [], "not heard of lately");
}

async fn tenants_come_page_by_page_in_order(f: &Fixture) {
    assert_eq!(f.store.tenants(None, 10).await.unwrap(), []);
    f.apply(&["c/x", "a/x", "B/x", "a-2/x", "a.1/x"].map(hourly)).await;
    let all = f.store.tenants(None, 10).await.unwrap();
    assert_eq!(all, ["B", "a", "a-2", "a.1", "c"].map(|id| tenant(id).into()), "in the order of bytes");
    let mut paged = Vec::new();
    while let page = f.store.tenants(paged.last().map(|t: &leasehold_common::catalog::Member| &t.id), 2).await.unwrap()
        && !page.is_empty()
    {
        assert!(page.len() <= 2);
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

async fn jobs_are_listed_in_order_and_filtered(f: &Fixture) {
    let jobs = [hourly("b/x"), every("a/y", MINUTE), hourly("a/x"), hourly("a/X")];
    f.apply(&jobs).await;
    let list = async |at: Option<&str>, job: Option<&str>, limit| {
        let (tenant, job) = (at.map(|t| t.parse().unwrap()), job.map(|j| j.parse().unwrap()));
        let jobs = f.store.jobs(tenant.as_ref(), job.as_ref(), limit).await.unwrap();
        jobs.iter().map(|view| format!("{}/{}", view.tenant, view.job)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 10).await, ["a/X", "a/x", "a/y", "b/x"]);
    assert_eq!(list(None, None, 2).await, ["a/X", "a/x"]);
    assert_eq!(list(Some("a"), None, 10).await, ["a/X", "a/x", "a/y"]);
    assert_eq!(list(None, Some("x"), 10).await, ["a/x", "b/x"]);
    assert_eq!(list(Some("b"), Some("x"), 10).await, ["b/x"]);
    assert!(list(Some("b"), Some("y"), 10).await.is_empty());
    let view = f.job("a/y").await;
    assert_eq!((view.version, view.last_fired), (1, None));
    assert_eq!(view.definition, serde_json::to_value(&jobs[1].definition).unwrap());
}

async fn runs_are_listed_with_the_latest_due_time_first_and_filtered(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b"), hourly("globex/a")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    f.settle(&f.claim(1).await, Verdict::Dead).await;
    f.trigger("globex/a").await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.trigger("acme/b").await;
    f.claim(1).await.only();
    f.trigger("acme/a").await;
    f.fan_out(&term, HOUR).await;

    let all = f.store.runs(&RunFilter::default(), 100).await.unwrap();
    assert_eq!(all.len(), 7);
    assert!(all.windows(2).all(|pair| pair[0].scheduled_for >= pair[1].scheduled_for));
    assert_eq!(f.store.runs(&RunFilter::default(), 3).await.unwrap(), all[..3]);
    let states: Vec<_> = all.iter().map(|run| run.state).collect();
    use RunState::{Ended, Ready, Running, Waiting};
    assert_eq!(states, [Waiting, Waiting, Waiting, Ready, Running, Ended, Ended]);

    let count = async |filter: RunFilter| f.store.runs(&filter, 100).await.unwrap().len();
    for (state, expected) in [(Waiting, 3), (Ready, 1), (Running, 1), (Ended, 2)] {
        assert_eq!(count(RunFilter { states: vec![state], ..Default::default() }).await, expected, "{state}");
    }
    assert_eq!(count(RunFilter { states: vec![Ready, Ended], ..Default::default() }).await, 3);
    let (acme, a) = path("acme/a");
    assert_eq!(count(RunFilter { tenants: vec![acme.clone()], ..Default::default() }).await, 5);
    assert_eq!(count(RunFilter { jobs: vec![a.clone()], ..Default::default() }).await, 5);
    assert_eq!(count(RunFilter { tenants: vec![acme], jobs: vec![a], ..Default::default() }).await, 3);
    assert_eq!(count(RunFilter { outcomes: vec![Outcome::Dead], ..Default::default() }).await, 1);
    let none = RunFilter { outcomes: vec![Outcome::Dead], states: vec![Running], ..Default::default() };
    assert_eq!(count(none).await, 0);
}

async fn the_story_of_a_run(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let id = f.trigger("acme/a").await;
    let story = f.store.run(id).await.unwrap().unwrap();
    assert_eq!((story.run.state, story.run.attempt, story.reports.len()), (RunState::Ready, 0, 0));
    let held = f.claim(1).await;
    let run = f.store.run(id).await.unwrap().unwrap().run;
    assert_eq!((run.state, run.attempt, run.not_before), (RunState::Running, 1, None));
    assert_eq!(run.executor, Some(held.executor.to_string()));
    assert!(run.started_at.is_some());
    f.settle(&held, Verdict::Retry(Duration::ZERO)).await;
    let story = f.store.run(id).await.unwrap().unwrap();
    assert_eq!((story.run.state, story.run.attempt), (RunState::Waiting, 1));
    assert_eq!(story.run.error.as_deref(), Some("it failed"), "why it waits");
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    let story = f.store.run(id).await.unwrap().unwrap();
    assert_eq!((story.run.state, story.run.outcome, story.run.attempt), (RunState::Ended, Some(Outcome::Succeeded), 2));
    let told: Vec<_> = story.reports.iter().map(|report| (report.attempt, report.outcome)).collect();
    assert_eq!(told, [(1, Outcome::Failed), (2, Outcome::Succeeded)]);
    assert_eq!(story.run.finished_at, Some(story.reports[1].finished_at));
}

async fn the_store_answers(f: &Fixture) {
    f.store.ping().await.unwrap();
    f.store.close().await;
    assert!(f.store.ping().await.is_err());
}

async fn next_hint(hints: &mut Box<dyn Hints>) -> Hint {
    tokio::time::timeout(wait::PATIENCE, hints.next()).await.expect("a hint comes")
}

async fn whatever_becomes_ready_wakes_a_listener(f: &Fixture) {
    let waits = hourly("acme/c").overlap(leasehold_common::definition::Overlap::BufferOne);
    f.apply(&[hourly("acme/a"), every("acme/b", MINUTE), waits]).await;
    let term = f.elect().await;
    let mut hints = f.store.hints().await.unwrap();
    f.trigger("acme/a").await;
    assert_eq!(next_hint(&mut hints).await, Hint::Work);
    f.settle(&f.claim(1).await, Verdict::Retry(Duration::ZERO)).await;
    assert_eq!(next_hint(&mut hints).await, Hint::Work);
    f.claim(1).await.only();
    f.advance(2 * MINUTE).await;
    f.rescue(&term).await;
    assert_eq!(next_hint(&mut hints).await, Hint::Work);
    // What waits for a run hears of its end.
    f.trigger("acme/c").await;
    f.claim(10).await;
    f.trigger("acme/c").await;
    assert_eq!(f.claim(10).await.claimed.dismissed, 1);
    while tokio::time::timeout(Duration::from_millis(300), hints.next()).await.is_ok() {}
    f.rescue(&term).await;
    let running = f.live("acme/c").await.into_iter().find(|run| run.state == RunState::Running).unwrap();
    f.cancel(running.correlation_id).await;
    f.advance(2 * MINUTE).await;
    f.rescue(&term).await;
    assert_eq!(next_hint(&mut hints).await, Hint::Work);
    f.store.backfill(f.key("acme/a").await, &[f.now().await], Duration::ZERO).await.unwrap();
    assert_eq!(next_hint(&mut hints).await, Hint::Work);
    // A retry in an hour is no news.
    f.settle(&f.claim(1).await, Verdict::Retry(HOUR)).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), hints.next()).await.is_err());
}

async fn a_definition_is_known_by_its_handler_and_by_one_of_its_jobs(f: &Fixture) {
    let calls = |at: &str, handler: &str| {
        let mut job = hourly(at);
        job.definition.handler = HandlerSpec::Named { name: handler.to_owned() };
        job
    };
    let slower =
        |at: &str| Job { definition: Definition { timeout: HOUR, ..calls(at, "sync").definition }, ..hourly(at) };
    f.apply(&[calls("acme/gone", "old"), calls("acme/a", "old")]).await;
    f.apply(&[
        calls("acme/a", "sync"),
        calls("b/a", "sync"),
        slower("b/slow"),
        calls("acme/bill", "bill"),
        hourly("c/c"),
    ])
    .await;
    let of = async |handlers: &[&str], limit| {
        let handlers: Vec<_> = handlers.iter().map(|handler| (*handler).to_owned()).collect();
        let jobs = f.store.handled_jobs(&handlers, limit).await.unwrap();
        jobs.iter().map(|found| format!("{}/{}", found.tenant, found.job)).collect::<Vec<_>>()
    };
    assert_eq!(of(&["sync"], 10).await, ["acme/a", "b/slow"], "one job for each definition");
    assert_eq!(of(&["sync", "bill"], 10).await, ["acme/a", "acme/bill", "b/slow"]);
    assert_eq!(of(&["sync", "bill"], 1).await, ["acme/a"]);
    assert_eq!(of(&["old", "\"'; DROP TABLE job"], 10).await, [""; 0], "what no job has any longer does not count");
    let found = f.store.handled_jobs(&["bill".to_owned()], 1).await.unwrap();
    let definition: Definition = serde_json::from_str(&found[0].definition).unwrap();
    assert_eq!(definition, calls("acme/bill", "bill").definition);
}

both!(
    a_definition_is_known_by_its_handler_and_by_one_of_its_jobs,
    the_status_of_an_empty_store,
    the_status_counts_the_queue,
    jobs_whose_runs_outlast_the_time_between_them_are_named,
    a_stalled_job_is_counted,
    executors_are_listed_as_they_last_announced_themselves,
    tenants_come_page_by_page_in_order,
    jobs_are_listed_in_order_and_filtered,
    runs_are_listed_with_the_latest_due_time_first_and_filtered,
    the_story_of_a_run,
    the_store_answers,
    whatever_becomes_ready_wakes_a_listener,
);

// What only a server can show.

async fn a_fan_out_wakes_the_listeners_of_other_processes(f: &Fixture) {
    f.apply(&[every("acme/b", Duration::from_secs(1))]).await;
    let term = f.elect().await;
    let other = f.another().await;
    let mut hints = other.hints().await.unwrap();
    // The clock of this machine decides how soon is soon: this one is due long since.
    f.execute("UPDATE leasehold.job SET next_due = 1000000").await;
    assert_eq!(f.fan_out(&term, Duration::ZERO).await, (1, 0));
    assert_eq!(next_hint(&mut hints).await, Hint::Work);
}

async fn after_a_lost_connection_the_listener_is_told_to_look_again(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let mut hints = f.store.hints().await.unwrap();
    for _ in 0..2 {
        let ended = f
            .number(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'LISTEN%'",
            )
            .await;
        assert_eq!(ended, 1);
        assert_eq!(next_hint(&mut hints).await, Hint::Resync);
        f.trigger("acme/a").await;
        assert_eq!(next_hint(&mut hints).await, Hint::Work);
    }
}

async fn a_lost_connection_costs_one_retry(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    f.trigger("acme/a").await;
    f.number(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
    let request = ClaimRequest {
        executor: Uuid::nil(),
        queues: vec![QueueName::default()],
        limit: 1,
        ttl: MINUTE,
        abilities: None,
    };
    let claimed = wait::until("the store is back", || {
        let answer = f.store.claim(&request);
        async move { answer.await.inspect_err(|error| assert_eq!(error.kind, ErrorKind::Unavailable, "{error}")) }
    })
    .await;
    assert_eq!(claimed.items.len(), 1);
}

postgres!(
    a_fan_out_wakes_the_listeners_of_other_processes,
    after_a_lost_connection_the_listener_is_told_to_look_again,
    a_lost_connection_costs_one_retry,
);
