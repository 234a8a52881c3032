//! An interval job never dies silently, and never runs sooner than its interval after the end of the run before
//! (invariant I9).
//!
//! The table is the product of all places where the one live run of an interval job can be and all things that can
//! happen to it there. Both matches below name every value: a new place or event does not compile until it has its
//! line in the table.

use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::id::CorrelationId;
use leasehold_common::lease::Term;
use leasehold_common::run::{Cause, RunState};
use leasehold_common::store::{Cancelled, Settled, Verdict};
use leasehold_tests::steps::{HOUR, Held, Job, MINUTE, every, hourly};
use leasehold_tests::stores::Fixture;
use sqlx::Executor as _;

const INTERVAL: Duration = Duration::from_secs(600);

/// Where the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// There is none: the job has a next due time.
    Nowhere,
    /// Fanned out, not yet due.
    Ahead,
    /// Due, still in `ahead`.
    Due,
    /// In line.
    Ready,
    /// Held by an executor.
    Running,
    /// Waiting for its retry.
    RetryAhead,
    /// In line for its retry.
    RetryReady,
}

const PLACES: [Place; 7] =
    [Place::Nowhere, Place::Ahead, Place::Due, Place::Ready, Place::Running, Place::RetryAhead, Place::RetryReady];

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The executor says so.
    Verdict(Verdict),
    /// The executor dies, with attempts left.
    Crash,
    /// The executor dies in the last attempt.
    LastCrash,
    /// The executor asks for a retry although no attempt is left.
    RetryTooMany,
    /// Somebody cancels the run.
    Cancel,
    /// Somebody cancels the run, and its executor never hears of it.
    CancelUnheard,
    /// Another run of the job is running when it is claimed.
    Overlap,
    /// The interval changes.
    Edit,
    /// The interval changes twice.
    EditTwice,
    /// Something else changes.
    Amend,
    /// The job becomes a cron job and an interval job again.
    CronAndBack,
    /// The job is removed and added again.
    RemoveAndAdd,
    /// Another run of the job is running when it is claimed, and it waits for that.
    Wait,
    /// The same, and a later run takes its place.
    Replace,
    /// Its time to live is over, and a claim or a sweep finds that.
    Expire,
    /// The job is paused and resumed.
    PauseAndResume,
    /// The job is paused for a time that passes.
    PauseThatEnds,
    /// It is claimed in a pause.
    ClaimInPause,
    /// It ends in a pause.
    EndInPause,
    /// It dies, and the job pauses itself.
    DeathThatPauses,
}

const EVENTS: [Event; 24] = [
    Event::Verdict(Verdict::Succeeded),
    Event::Verdict(Verdict::Dead),
    Event::Verdict(Verdict::Cancelled),
    Event::Verdict(Verdict::Retry(MINUTE)),
    Event::Verdict(Verdict::Released),
    Event::Crash,
    Event::LastCrash,
    Event::RetryTooMany,
    Event::Cancel,
    Event::CancelUnheard,
    Event::Overlap,
    Event::Edit,
    Event::EditTwice,
    Event::Amend,
    Event::CronAndBack,
    Event::RemoveAndAdd,
    Event::Wait,
    Event::Replace,
    Event::Expire,
    Event::PauseAndResume,
    Event::PauseThatEnds,
    Event::ClaimInPause,
    Event::EndInPause,
    Event::DeathThatPauses,
];

/// Whether it can happen there.
fn can_happen(place: Place, event: Event) -> bool {
    use Event::{
        Amend, Cancel, CancelUnheard, ClaimInPause, Crash, CronAndBack, DeathThatPauses, Edit, EditTwice, EndInPause,
        Expire, LastCrash, Overlap, PauseAndResume, PauseThatEnds, RemoveAndAdd, Replace, RetryTooMany, Wait,
    };
    use Place::{Ahead, Due, Nowhere, Ready, RetryAhead, RetryReady, Running};
    match (place, event) {
        (Nowhere | Ahead | Due | Ready | Running | RetryAhead | RetryReady, Edit | EditTwice | Amend) => true,
        (Nowhere | Ahead | Due | Ready | Running | RetryAhead | RetryReady, CronAndBack | RemoveAndAdd) => true,
        (Nowhere | Ahead | Due | Ready | Running | RetryAhead | RetryReady, PauseAndResume | PauseThatEnds) => true,
        (Ahead | Due | Ready | Running | RetryAhead | RetryReady, Cancel) => true,
        (Nowhere, Cancel) => false,
        (Running, Event::Verdict(_) | Crash | LastCrash | RetryTooMany | CancelUnheard) => true,
        (Running, EndInPause | DeathThatPauses) => true,
        (
            Nowhere | Ahead | Due | Ready | RetryAhead | RetryReady,
            Event::Verdict(_) | Crash | LastCrash | RetryTooMany | CancelUnheard | EndInPause | DeathThatPauses,
        ) => false,
        (Due | Ready, Overlap | Wait | Replace | ClaimInPause) => true,
        // A run that was claimed once is itself what others overlap with, and goes on in a pause.
        (Nowhere | Ahead | Running | RetryAhead | RetryReady, Overlap | Wait | Replace | ClaimInPause) => false,
        (Due | Ready | RetryAhead | RetryReady, Expire) => true,
        (Nowhere | Ahead | Running, Expire) => false,
    }
}

/// The job of a cell: what happens to it may ask for a policy.
fn job_for(at: &str, event: Event) -> Job {
    let job = every(at, INTERVAL).attempts(2);
    match event {
        Event::Wait => job.overlap(leasehold_common::definition::Overlap::BufferOne),
        Event::Replace => job.overlap(leasehold_common::definition::Overlap::CancelPrevious),
        Event::Expire => job.expires(leasehold_common::definition::Expiry::After(2 * MINUTE)),
        Event::DeathThatPauses => job.pause_after(1),
        _ => job,
    }
}

/// One cell of the table: a job of its own in a catalog of its own.
struct Cell<'a> {
    f: &'a Fixture,
    term: Term,
    at: String,
    job: Job,
    /// The claim under which the run is held, if it is.
    held: Option<Held>,
}

impl Cell<'_> {
    fn scheduled<'r>(&self, runs: &'r [leasehold_common::run::RunView]) -> Vec<&'r leasehold_common::run::RunView> {
        runs.iter().filter(|run| run.cause == Cause::Schedule).collect()
    }

    async fn run(&self) -> CorrelationId {
        let live = self.f.live(&self.at).await;
        self.scheduled(&live)[0].correlation_id
    }

    async fn put(&mut self, place: Place) {
        let f = self.f;
        f.apply(std::slice::from_ref(&self.job)).await;
        let due = f.next_due(&self.at).await;
        if place == Place::Nowhere {
            return;
        }
        assert_eq!(f.fan_out(&self.term, INTERVAL).await, (1, 0));
        match place {
            Place::Nowhere | Place::Ahead => {}
            Place::Due => f.advance_to(due).await,
            Place::Ready => {
                f.advance_to(due).await;
                f.activate().await;
            }
            Place::Running | Place::RetryAhead | Place::RetryReady => {
                f.advance_to(due).await;
                let held = f.claim(1).await;
                assert_eq!(held.only().job, self.job.path.1);
                self.held = Some(held);
            }
        }
        if matches!(place, Place::RetryAhead | Place::RetryReady) {
            self.settle(Verdict::Retry(MINUTE)).await;
        }
        if place == Place::RetryReady {
            f.advance(MINUTE).await;
            f.activate().await;
        }
    }

    async fn settle(&mut self, verdict: Verdict) {
        let held = self.held.take().expect("the run is held");
        assert_eq!(self.f.settle(&held, verdict).await, [Settled::Recorded]);
    }

    async fn rescue(&mut self) {
        self.held = None;
        self.f.advance(2 * MINUTE).await;
        let (requeued, dead) = self.f.rescue(&self.term).await;
        assert_eq!(requeued + dead, 1);
    }

    async fn happen(&mut self, event: Event) {
        let f = self.f;
        let job = self.job.clone();
        match event {
            Event::Verdict(verdict) => self.settle(verdict).await,
            Event::Crash => self.rescue().await,
            Event::LastCrash => {
                self.spend_attempts().await;
                self.rescue().await;
            }
            Event::RetryTooMany => {
                self.spend_attempts().await;
                self.settle(Verdict::Retry(Duration::ZERO)).await;
                let held = f.claim(1).await;
                assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
            }
            Event::Cancel => {
                let asked = f.cancel(self.run().await).await;
                assert_eq!(asked, if self.held.is_some() { Cancelled::Requested } else { Cancelled::Ended });
                if self.held.is_some() {
                    self.settle(Verdict::Cancelled).await;
                }
            }
            Event::CancelUnheard => {
                assert_eq!(f.cancel(self.run().await).await, Cancelled::Requested);
                self.rescue().await;
            }
            Event::Overlap | Event::Wait | Event::Replace => {
                // In line before the scheduled run, wherever that is.
                let id = f.trigger(&self.at).await;
                f.execute(&format!(
                    "UPDATE {}ready SET tag = 0 WHERE cause = 1",
                    if f.is_postgres() { "leasehold." } else { "" }
                ))
                .await;
                let held = f.claim(2).await;
                assert_eq!((held.only().id, held.claimed.dismissed), (id, 1));
                self.lives("while it waits").await;
                if event == Event::Replace {
                    f.trigger(&self.at).await;
                    assert_eq!(f.claim(2).await.claimed.dismissed, 1);
                    self.lives("when it is replaced").await;
                }
                assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
                if event == Event::Replace {
                    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
                }
            }
            Event::Expire => {
                f.advance(4 * MINUTE).await;
                if f.sweep(&self.term).await != (0, 1) {
                    let held = f.claim(1).await;
                    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
                }
            }
            Event::PauseAndResume => {
                self.pause(None).await;
                self.resume().await;
            }
            Event::PauseThatEnds => {
                let until = f.now().await + INTERVAL;
                self.pause(Some(until)).await;
                f.advance_to(until).await;
                f.fan_out(&self.term, Duration::ZERO).await;
            }
            Event::ClaimInPause => {
                self.pause(None).await;
                let held = f.claim(1).await;
                assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
                self.resume().await;
            }
            Event::EndInPause => {
                self.pause(None).await;
                self.settle(Verdict::Succeeded).await;
                self.resume().await;
            }
            Event::DeathThatPauses => {
                self.settle(Verdict::Dead).await;
                assert!(f.job(&self.at).await.paused.is_some());
                self.resume().await;
            }
            Event::Edit => self.change(every(&self.at, INTERVAL * 2)).await,
            Event::EditTwice => {
                self.change(every(&self.at, INTERVAL * 2)).await;
                self.change(every(&self.at, INTERVAL * 3)).await;
            }
            Event::Amend => self.change(job.timeout(HOUR)).await,
            Event::CronAndBack => {
                self.change(hourly(&self.at)).await;
                self.change(job).await;
            }
            Event::RemoveAndAdd => {
                f.apply(&[]).await;
                self.change(job).await;
            }
        }
    }

    async fn pause(&self, until: Option<Timestamp>) {
        assert!(self.f.pause(&self.at, until).await);
        assert_eq!(self.f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0, "it is paused, not stalled");
    }

    /// Ends the pause, and lets the leader see it.
    async fn resume(&self) {
        assert_eq!(self.f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0, "it is paused, not stalled");
        assert!(self.f.resume(&self.at).await);
        self.f.fan_out(&self.term, Duration::ZERO).await;
    }

    /// Crashes and claims until the last attempt runs.
    async fn spend_attempts(&mut self) {
        while self.held.as_ref().unwrap().only().attempt < self.job.definition.retry.attempts {
            self.rescue().await;
            let held = self.f.claim(1).await;
            held.only();
            self.held = Some(held);
        }
    }

    async fn change(&mut self, job: Job) {
        self.f.apply(std::slice::from_ref(&job)).await;
        self.job = job;
    }

    /// The job lives, in one way: it has a next due time, or a run whose end will give it one.
    async fn lives(&self, when: &str) {
        let live = self.f.live(&self.at).await;
        let scheduled = self.scheduled(&live);
        let next_due = self.f.job(&self.at).await.next_due;
        assert_eq!(
            usize::from(next_due.is_some()) + scheduled.len(),
            1,
            "{when}: next due {next_due:?}, live {scheduled:?}"
        );
        assert_eq!(self.f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0, "{when}");
    }

    /// Ends the run, if there is one, and answers when it ended.
    async fn finish(&mut self) -> Option<Timestamp> {
        let f = self.f;
        let live = f.live(&self.at).await;
        let run = self.scheduled(&live).first().copied().cloned()?;
        if run.state != RunState::Running {
            assert_eq!(f.fan_out(&self.term, INTERVAL).await, (0, 0), "the run decides the next due time");
            f.advance_to(run.not_before.unwrap()).await;
            let held = f.claim(1).await;
            assert_eq!(held.only().id, run.correlation_id);
            self.held = Some(held);
            self.lives("when it was claimed").await;
        }
        let end = f.now().await;
        self.settle(Verdict::Succeeded).await;
        Some(end)
    }

    /// The next run comes, and not before the interval has passed since the end of the last one.
    async fn runs_again(&mut self, end: Option<Timestamp>) {
        let f = self.f;
        let due = f.next_due(&self.at).await;
        f.advance_to(due).await;
        assert_eq!(f.fan_out(&self.term, Duration::ZERO).await, (1, 0));
        self.lives("when it was fanned out again").await;
        let held = f.claim(1).await;
        assert_eq!((held.only().cause, held.only().attempt), (Cause::Schedule, 1));
        if let Some(end) = end {
            let interval = self.job.definition.schedule.interval().unwrap();
            let waited = f.now().await.as_microsecond() - end.as_microsecond();
            assert!(waited >= i64::try_from(interval.as_micros()).unwrap(), "only {waited} us after its last run");
        }
        assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
        self.lives("after the next run").await;
    }
}

async fn every_path_on_which_a_run_ends_leads_to_the_next_one(f: &Fixture) {
    let term = f.elect().await;
    let mut cells = 0;
    for place in PLACES {
        for event in EVENTS.into_iter().filter(|event| can_happen(place, *event)) {
            cells += 1;
            let at = format!("acme/job-{cells}");
            let mut cell = Cell { f, term, job: job_for(&at, event), at, held: None };
            cell.put(place).await;
            println!("{place:?}, {event:?}: {}", cell.at);
            cell.lives("before").await;
            let before = f.now().await;
            cell.happen(event).await;
            cell.lives("after").await;
            let ended = match (place, event) {
                // The run ended in the event: not before it began.
                (Place::Running, _) | (_, Event::Cancel | Event::Overlap | Event::Replace | Event::Expire)
                    if f.live(&cell.at).await.is_empty() =>
                {
                    Some(before)
                }
                _ => cell.finish().await,
            };
            cell.lives("at its end").await;
            cell.runs_again(ended).await;
        }
    }
    assert_eq!(cells, 78);
}

/// The moment that counts is the end of the run on the store's clock.
async fn the_next_due_time_is_the_end_plus_the_interval(f: &Fixture) {
    f.apply(&[every("acme/a", INTERVAL)]).await;
    let term = f.elect().await;
    for _ in 0..3 {
        let held = f.run_next(&term, "acme/a").await;
        f.advance(7 * INTERVAL).await; // it outlasts its interval many times
        let before = f.now().await;
        f.settle(&held, Verdict::Succeeded).await;
        let after = f.now().await;
        let due = f.next_due("acme/a").await;
        assert!(due >= before + INTERVAL && due <= after + INTERVAL, "{before} {due} {after}");
    }
    assert_eq!(f.reports().await.len(), 3, "and nothing misfired or overlapped");
}

async fn a_trigger_leaves_the_interval_alone(f: &Fixture) {
    f.apply(&[every("acme/a", INTERVAL)]).await;
    let due = f.next_due("acme/a").await;
    f.trigger("acme/a").await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    assert_eq!(f.next_due("acme/a").await, due);
}

/// A cron run that is in flight when its job becomes an interval job is its first run: the interval starts at its end.
async fn a_cron_run_in_flight_decides_when_a_new_interval_starts(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    f.apply(&[every("acme/a", INTERVAL)]).await;
    assert_eq!(f.job("acme/a").await.next_due, None);
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
    f.advance(HOUR).await;
    let end = f.now().await;
    f.settle(&held, Verdict::Succeeded).await;
    assert!(f.next_due("acme/a").await >= end + INTERVAL);
}

async fn an_interval_that_becomes_cron_is_due_by_cron(f: &Fixture) {
    f.apply(&[every("acme/a", INTERVAL)]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    f.apply(&[hourly("acme/a")]).await;
    let due = f.next_due("acme/a").await;
    assert_eq!(due.strftime("%M:%S").to_string(), "00:00");
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.next_due("acme/a").await, due);
}

/// A run that holds the token ends while its job, by whatever race, needs no next due time of it.
async fn a_job_that_needs_no_next_due_time_is_left_alone(f: &Fixture) {
    let term = f.elect().await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    let mut n = 0;
    for change in ["active = (1 = 0)", "every_us = NULL", "next_due = 4102444800000000"] {
        for end in ["settled", "rescued", "overlapped", "cancelled", "cancelled before its retry", "dead at claim"] {
            n += 1;
            let at = format!("acme/job-{n}");
            f.apply(&[every(&at, INTERVAL).attempts(1)]).await;
            f.advance_to(f.next_due(&at).await).await;
            f.fan_out(&term, Duration::ZERO).await;
            f.activate().await;
            let id = f.live(&at).await[0].correlation_id;
            let tag = format!("UPDATE {schema}ready SET tag = 0 WHERE cause = 1");
            let change = format!("UPDATE {schema}job SET {change} WHERE name = 'job-{n}'");
            match end {
                "overlapped" => {
                    f.trigger(&at).await;
                    f.execute(&tag).await;
                    let running = f.claim(1).await;
                    f.execute(&change).await;
                    let held = f.claim(1).await;
                    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1), "{end}, {change}");
                    f.settle(&running, Verdict::Succeeded).await;
                }
                "cancelled" => {
                    f.execute(&change).await;
                    assert_eq!(f.cancel(id).await, Cancelled::Ended);
                }
                _ => {
                    let held = f.claim(1).await;
                    assert_eq!(held.only().id, id);
                    f.execute(&change).await;
                    match end {
                        "settled" => {
                            assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
                        }
                        "rescued" => {
                            f.advance(2 * MINUTE).await;
                            assert_eq!(f.rescue(&term).await, (0, 1));
                        }
                        "cancelled before its retry" => {
                            f.settle(&held, Verdict::Retry(HOUR)).await;
                            assert_eq!(f.cancel(id).await, Cancelled::Ended);
                        }
                        _ => {
                            f.settle(&held, Verdict::Retry(Duration::ZERO)).await;
                            assert_eq!(f.claim(1).await.claimed.dismissed, 1);
                        }
                    }
                }
            }
            assert_eq!(f.live(&at).await, [], "{end}, {change}");
            let next_due =
                f.number(&format!("SELECT coalesce(next_due, 0) FROM {schema}job WHERE name = 'job-{n}'")).await;
            let expected = if change.contains("next_due") { 4_102_444_800_000_000 } else { 0 };
            assert_eq!(next_due, expected, "{end}, {change}");
        }
    }
}

async fn of_several_runs_in_flight_one_decides_when_a_new_interval_starts(f: &Fixture) {
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    let term = f.elect().await;
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        f.advance_to(f.next_due("acme/a").await).await;
        f.fan_out(&term, Duration::ZERO).await;
        f.activate().await;
        held.push(f.claim(1).await);
    }
    f.apply(&[every("acme/a", INTERVAL).allow_overlap()]).await;
    let tokens = format!("SELECT count(*) FROM {schema}running WHERE every_us IS NOT NULL");
    assert_eq!(f.number(&tokens).await, 1, "each token would be a chain of runs of its own");
    for held in &held {
        f.settle(held, Verdict::Succeeded).await;
    }
    f.next_due("acme/a").await;
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
}

/// What settle sees of the job is older than the lock it waited for.
async fn a_completion_that_waits_for_an_edit_sets_the_next_due_time(f: &Fixture) {
    let term = f.elect().await;
    f.apply(&[hourly("acme/a")]).await;
    f.advance_to(f.next_due("acme/a").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.activate().await;
    let held = f.claim(1).await;

    // What an edit from cron to an interval writes, held open while the run ends.
    let mut edit = f.pg().await;
    edit.execute("BEGIN; SELECT 1 FROM running FOR UPDATE").await.unwrap();
    let (store, executor, report) = (f.store.clone(), held.executor, held.report(0, Verdict::Succeeded));
    let settle = tokio::spawn(async move { store.settle(executor, &[report], &[]).await.unwrap() });
    f.waits(&settle).await;
    edit.execute("UPDATE job SET every_us = 60000000, next_due = NULL; UPDATE running SET every_us = 60000000; COMMIT")
        .await
        .unwrap();
    assert_eq!(settle.await.unwrap(), [Settled::Recorded]);
    f.next_due("acme/a").await;
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
}

both!(
    every_path_on_which_a_run_ends_leads_to_the_next_one,
    the_next_due_time_is_the_end_plus_the_interval,
    a_trigger_leaves_the_interval_alone,
    a_cron_run_in_flight_decides_when_a_new_interval_starts,
    an_interval_that_becomes_cron_is_due_by_cron,
    a_job_that_needs_no_next_due_time_is_left_alone,
    of_several_runs_in_flight_one_decides_when_a_new_interval_starts,
);
postgres!(a_completion_that_waits_for_an_edit_sets_the_next_due_time);
