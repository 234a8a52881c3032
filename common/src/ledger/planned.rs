//! The planner and the ledger agree: whatever the leader writes, however long it was away, nothing is missing.
#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::SignedDuration;
use proptest::prelude::*;

use super::sample::{at, history, one, row, version};
use super::*;
use crate::definition::{DefinitionId, Timing, TimingSpec};
use crate::id::JobKey;
use crate::plan::{past, plan};
use crate::store::{DueJob, Pause, Skipped};

const LOOK_AHEAD: SignedDuration = SignedDuration::from_secs(15);

/// A job, its store and its leader, on a clock that jumps.
struct Leader {
    timing: Timing,
    job: DueJob,
    /// Whether the job has a next due time.
    is_due: bool,
    /// What is queued and has not ended.
    queued: Vec<Timestamp>,
    history: JobHistory,
}

impl Leader {
    fn new(json: &str, now: Timestamp) -> Self {
        let spec: TimingSpec = serde_json::from_str(json).unwrap();
        let timing = spec.compile(JobKey::from_i64(7)).unwrap();
        let first = timing.schedule.next_after(now).unwrap();
        let job = DueJob {
            key: JobKey::from_i64(7),
            version: 1,
            definition: DefinitionId::from_uuid(uuid::Uuid::nil()),
            next_due: first,
            accounted: now,
            pause: None,
            runs_left: spec.schedule.max_runs(),
            gated: false,
        };
        Self { timing, job, is_due: true, queued: Vec::new(), history: history(json, now, now) }
    }

    fn record(&mut self, skipped: &[Skipped]) {
        self.history.reports.extend(skipped.iter().map(|s| row(s.first, s.last, s.count, s.outcome)));
    }

    /// Plans all that is due by `now` and the look-ahead.
    fn lead(&mut self, now: Timestamp) {
        while self.is_due && self.job.next_due <= now + LOOK_AHEAD {
            let launch = plan(&self.job, &self.timing, now, now + LOOK_AHEAD);
            self.queued.extend(launch.items.iter().map(|item| item.due));
            self.record(&launch.skipped);
            (self.job.accounted, self.job.runs_left) = (launch.accounted, launch.runs_left);
            self.is_due = launch.next.is_some();
            self.job.next_due = launch.next.unwrap_or(now);
        }
    }

    /// Ends some of what is due.
    fn work(&mut self, now: Timestamp, outcomes: &[usize]) {
        let due = self.queued.iter().position(|due| *due > now).unwrap_or(self.queued.len());
        for (n, due) in self.queued.drain(..due).collect::<Vec<_>>().into_iter().enumerate() {
            match outcomes[n % outcomes.len()] {
                0 => self.history.reports.push(one(due, Outcome::Succeeded)),
                1 => self.history.reports.push(one(due, Outcome::Misfired)),
                2 => self.history.reports.push(one(due, Outcome::Paused)),
                _ => self.history.live.push((due, RunState::Running)),
            }
        }
    }

    fn pause(&mut self, now: Timestamp, length: SignedDuration) {
        self.job.pause = Some(Pause { at: now, until: now + length });
        self.job.next_due = now + length;
    }

    /// Replaces the schedule by itself: all that an edit does, and due times that can be compared.
    fn edit(&mut self, now: Timestamp, max_runs: Option<u32>) {
        let mut rows = Vec::new();
        past(&mut rows, &self.timing, self.job.accounted, self.job.pause, now, Outcome::Superseded);
        self.record(&rows);
        for due in std::mem::take(&mut self.queued).into_iter().filter(|due| *due <= now) {
            self.history.reports.push(one(due, Outcome::Superseded));
        }
        let (before, json) = self.history.versions.last_mut().unwrap();
        before.valid_to = Some(now);
        let (number, spaced) = (before.version + 1, format!("{json} "));
        // Blackouts that are never reached make it another schedule.
        let other =
            r#","blackouts":[{"name":"never","once":{"from":"2100-01-01T00:00:00Z","to":"2100-01-02T00:00:00Z"}}]}"#;
        let json = match spaced.contains("blackouts") {
            true => spaced.trim_end().replace(r#""on_blackout":"skip""#, r#""on_blackout":"defer""#),
            false => spaced.trim_end().strip_suffix('}').unwrap().to_owned() + other,
        };
        self.timing = serde_json::from_str::<TimingSpec>(&json).unwrap().compile(self.job.key).unwrap();
        self.history.versions.push((version(number, now, None), json));
        self.job.accounted = now;
        self.job.runs_left = max_runs;
        self.is_due = true;
        let is_paused = self.job.pause.filter(|pause| pause.covers(now));
        let first = self.timing.schedule.next_after(now).unwrap();
        self.job.next_due = is_paused.map_or(first, |pause| pause.until);
    }

    fn ledger(&self, now: Timestamp) -> Ledger {
        let mut history = self.history.clone();
        history.now = now;
        history.live.extend(self.queued.iter().map(|due| (*due, RunState::Waiting)));
        history.accounted = self.job.accounted;
        history.next_due = self.is_due.then_some(self.job.next_due);
        history.pause = self.job.pause;
        compare(&history, at("2026-01-01T00:00:00Z"), Timestamp::MAX)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// So many seconds pass without a leader.
    Away(i64),
    /// The leader looks, and executors work.
    Lead(Vec<usize>),
    /// Somebody pauses the job for so many seconds.
    Pause(i64),
    /// Somebody edits the schedule.
    Edit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_i64..9_000).prop_map(Step::Away),
        4 => prop::collection::vec(0_usize..4, 1..6).prop_map(Step::Lead),
        1 => (1_i64..20_000).prop_map(Step::Pause),
        1 => Just(Step::Edit),
    ];
    prop::collection::vec(step, 1..24)
}

fn timings() -> impl Strategy<Value = (String, Option<u32>)> {
    let crons = prop::sample::select(vec!["* * * * *", "*/7 * * * *", "0 * * * *", "*/20 * * * * *", "30 2 * * *"]);
    let catch_ups =
        prop::sample::select(vec![r#""last""#, r#"{"skip":{"grace":"90s"}}"#, r#"{"all":{"within":"1h"}}"#]);
    let blackouts = prop::sample::select(vec![
        "",
        r#","on_blackout":"skip","blackouts":[{"name":"n","daily":{"window":"01:30-03:10","zone":"UTC"}}]"#,
        r#","on_blackout":"defer","blackouts":[{"name":"n","daily":{"window":"01:30-03:10","zone":"UTC"}}]"#,
    ]);
    (crons, catch_ups, blackouts, prop::option::of(1_u32..60)).prop_map(|(cron, catch_up, blackouts, most)| {
        let cron = format!(r#"{{"cron":{{"expr":"{cron}","zone":"Europe/Berlin"}}}}"#);
        let schedule =
            most.map_or(cron.clone(), |most| format!(r#"{{"within":{{"schedule":{cron},"max_runs":{most}}}}}"#));
        (format!(r#"{{"schedule":{schedule},"catch_up":{catch_up}{blackouts}}}"#), most)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_leader_writes_nothing_is_missing((json, most) in timings(), steps in steps()) {
        let mut now = at("2026-03-28T20:00:00Z");
        let mut leader = Leader::new(&json, now);
        let mut edits = 0;
        for step in &steps {
            match step {
                Step::Away(seconds) => now += SignedDuration::from_secs(*seconds),
                Step::Lead(outcomes) => {
                    leader.lead(now);
                    leader.work(now, outcomes);
                    // What was due before a pause and nobody came to waits for its end.
                    let is_paused = leader.job.pause.is_some_and(|pause| pause.covers(now + LOOK_AHEAD));
                    let ledger = leader.ledger(now);
                    prop_assert!(is_paused || ledger.pending == 0, "{:?}", ledger);
                }
                Step::Pause(_) if leader.job.pause.is_some_and(|pause| pause.covers(now)) => {}
                Step::Pause(seconds) => leader.pause(now, SignedDuration::from_secs(*seconds)),
                Step::Edit => {
                    leader.edit(now, most);
                    edits += 1;
                }
            }
            let ledger = leader.ledger(now);
            prop_assert_eq!(ledger.missing, 0, "{:?}", ledger);
            prop_assert!(edits > 0 || ledger.unexpected == 0, "{:?}", ledger);
        }
    }
}
