//! What has happened since the last message of a hook, and the message that is under way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{HookEvent, HookSpec, Overdue};
use crate::run::Report;

/// So many runs of each event are described; all are counted.
const SAMPLES: usize = 5;

/// Different jobs, and different tenants, are counted up to here.
const COUNTED: usize = 1_000;

/// So much of an error is shown, in characters.
const ERROR_SHOWN: usize = 500;

/// What the store keeps of a hook, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HookState {
    /// What no message has yet.
    #[serde(default)]
    group: Group,
    /// The message that is not delivered yet.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// When the last message was made, in microseconds.
    #[serde(default)]
    made_at: Option<i64>,
    /// What is overdue, and was told.
    #[serde(default)]
    told: BTreeSet<HookEvent>,
    /// Messages that were given up and that no later one has told of.
    #[serde(default)]
    dropped: u64,
}

/// A message that is not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its id, the same for each try.
    pub id: String,
    /// The message.
    pub body: String,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u32,
    /// Why the last try failed.
    #[serde(default)]
    pub error: Option<String>,
    /// How many messages before it were given up; it tells so.
    #[serde(default)]
    dropped: u64,
}

/// Things that are overdue at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How many were seen; there may be more.
    seen: u64,
    tenant: String,
    job: String,
    since: i64,
}

/// Events of one message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    #[serde(default)]
    counts: BTreeMap<HookEvent, u64>,
    #[serde(default)]
    from: Option<i64>,
    #[serde(default)]
    to: Option<i64>,
    #[serde(default)]
    jobs: BTreeSet<i64>,
    #[serde(default)]
    tenants: BTreeSet<String>,
    #[serde(default)]
    samples: Vec<Value>,
    #[serde(default)]
    standing: BTreeMap<HookEvent, Standing>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.standing.is_empty()
    }

    fn add(&mut self, event: HookEvent, report: &Report) {
        let count = self.counts.entry(event).or_default();
        *count += u64::from(report.count);
        let at = report.finished_at.as_microsecond();
        self.from = Some(self.from.map_or(at, |from| from.min(at)));
        self.to = Some(self.to.map_or(at, |to| to.max(at)));
        if self.jobs.len() < COUNTED {
            self.jobs.insert(report.correlation_id.job().as_i64());
        }
        if self.tenants.len() < COUNTED {
            self.tenants.insert(report.tenant.to_string());
        }
        let described = self.samples.iter().filter(|sample| sample["event"] == event.as_str()).count();
        if described < SAMPLES {
            self.samples.push(sample(event, report));
        }
    }
}

fn sample(event: HookEvent, report: &Report) -> Value {
    let error = report.error.as_ref().map(|error| error.chars().take(ERROR_SHOWN).collect::<String>());
    let mut sample = json!({
        "event": event.as_str(),
        "tenant": report.tenant.as_str(),
        "job": report.job.as_str(),
        "correlation_id": report.correlation_id.to_string(),
        "scheduled_for": format!("{:.3}", report.scheduled_for),
        "outcome": report.outcome.as_str(),
        "attempt": report.attempt,
        "finished_at": format!("{:.3}", report.finished_at),
        "lateness_ms": report.lateness_ms,
        "error": error,
        "error_code": report.error_code,
    });
    if report.count > 1 {
        sample["count"] = report.count.into();
    }
    sample
}

impl HookState {
    /// Takes note of an event.
    pub fn add(&mut self, event: HookEvent, report: &Report) {
        self.group.add(event, report);
    }

    /// Takes note of what is overdue at this moment. What is told once is told again when it was over in between.
    pub fn stand(&mut self, spec: &HookSpec, now: Timestamp, overdue: &[Overdue]) {
        for (event, queued) in [(HookEvent::Late, true), (HookEvent::Missing, false)] {
            if !spec.wants(event) {
                continue;
            }
            let patience = i64::try_from(spec.late_after.as_micros()).unwrap_or(i64::MAX);
            let is_late = |since: Timestamp| now.as_microsecond().saturating_sub(since.as_microsecond()) >= patience;
            let of_hook =
                |it: &&Overdue| it.queued == queued && spec.concerns(&it.tenant, &it.job) && is_late(it.since);
            let seen = overdue.iter().filter(of_hook).count() as u64;
            let Some(oldest) = overdue.iter().filter(of_hook).min_by_key(|it| it.since) else {
                self.told.remove(&event);
                continue;
            };
            if self.told.insert(event) {
                let standing = Standing {
                    seen,
                    tenant: oldest.tenant.to_string(),
                    job: oldest.job.to_string(),
                    since: oldest.since.as_microsecond(),
                };
                self.group.standing.insert(event, standing);
            }
        }
    }

    /// Makes a message of what no message has yet: at once if there was none for a while, and at the end of that while
    /// otherwise. One at a time. Answers whether it did.
    pub fn make(&mut self, spec: &HookSpec, now: Timestamp, id: impl FnOnce() -> String) -> bool {
        let now_us = now.as_microsecond();
        let every = i64::try_from(spec.every.as_micros()).unwrap_or(i64::MAX);
        // A last message that lies ahead of the clock was made before the clock went back.
        let too_soon = self.made_at.is_some_and(|made| made <= now_us && now_us - made < every);
        if self.pending.is_some() || self.group.is_empty() || too_soon {
            return false;
        }
        let (group, dropped) = (std::mem::take(&mut self.group), std::mem::take(&mut self.dropped));
        let id = id();
        let body = message(spec, &group, dropped, now, &id).to_string();
        self.pending = Some(Pending { id, body, tries: 0, error: None, dropped });
        self.made_at = Some(now_us);
        true
    }

    /// The message has been delivered.
    pub fn delivered(&mut self) {
        self.pending = None;
    }

    /// A try has failed. Answers whether the message is given up, since it was tried so often.
    pub fn failed(&mut self, error: String, most: u32) -> bool {
        let Some(pending) = &mut self.pending else { return false };
        pending.tries += 1;
        pending.error = Some(error);
        let give_up = pending.tries >= most;
        if give_up {
            self.dropped = pending.dropped + 1;
            self.pending = None;
        }
        give_up
    }

    /// Messages that were given up and that no later one has told of.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn instant(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

fn message(spec: &HookSpec, group: &Group, dropped: u64, now: Timestamp, id: &str) -> Value {
    let all: u64 = group.counts.values().sum();
    let shown: u64 = group.samples.iter().map(|sample| sample["count"].as_u64().unwrap_or(1)).sum();
    let counts: BTreeMap<_, _> =
        spec.on.iter().map(|event| (event.as_str(), group.counts.get(event).copied().unwrap_or(0))).collect();
    let standing: Vec<_> = group
        .standing
        .iter()
        .map(|(event, it)| {
            json!({
                "event": event.as_str(),
                "seen": it.seen,
                "oldest": { "tenant": it.tenant, "job": it.job, "since": instant(it.since) },
            })
        })
        .collect();
    json!({
        "type": "leasehold.hook",
        "timestamp": format!("{now:.3}"),
        "text": text(spec, group),
        "data": {
            "id": id,
            "hook": spec.name,
            "from": group.from.map(instant),
            "to": group.to.map(instant),
            "counts": counts,
            "jobs": group.jobs.len(),
            "tenants": group.tenants.len(),
            "overdue": standing,
            "samples": group.samples,
            "left_out": all.saturating_sub(shown),
            "dropped_messages": dropped,
        },
    })
}

/// A line for chats. It has numbers and the hook's own name, and no text of tenants.
fn text(spec: &HookSpec, group: &Group) -> String {
    let mut parts: Vec<String> =
        group.counts.iter().map(|(event, count)| format!("{count} {}", event.as_str())).collect();
    for (event, standing) in &group.standing {
        let what = if *event == HookEvent::Late { "runs wait" } else { "jobs are behind" };
        parts.push(format!("{}: {} {what}", event.as_str(), standing.seen));
    }
    let (jobs, tenants) = (group.jobs.len(), group.tenants.len());
    let among = if jobs > 0 { format!(" (jobs: {jobs}, tenants: {tenants})") } else { String::new() };
    format!("Leasehold, {}: {}{among}", spec.name, parts.join(", "))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hook::{DeadJobs, HookReport, HookTarget, events};
    use crate::id::{CorrelationId, JobKey, JobName, RunKind, TenantId};
    use crate::run::{Cause, Outcome};

    const MINUTE: Duration = Duration::from_secs(60);

    fn spec() -> HookSpec {
        HookSpec {
            name: "ops".to_owned(),
            on: HookEvent::ALL.to_vec(),
            tenants: Vec::new(),
            jobs: Vec::new(),
            late_after: MINUTE,
            every: 5 * MINUTE,
            timeout: MINUTE,
            target: HookTarget::Command(vec!["true".to_owned()]),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn report(job: u32, outcome: Outcome, second: i64) -> Report {
        let (tenant, name): (TenantId, JobName) =
            (format!("t{}", job % 7).parse().unwrap(), format!("j{job}").parse().unwrap());
        let key = JobKey::new(&tenant, &name, 0);
        Report {
            seq: second,
            correlation_id: CorrelationId::new(at(second), RunKind::SCHEDULED, key),
            tenant,
            job: name,
            cause: Cause::Schedule,
            scheduled_for: at(second),
            count: 1,
            scheduled_from: None,
            attempt: 1,
            outcome,
            next_attempt_at: None,
            started_at: Some(at(second)),
            finished_at: at(second),
            duration_ms: Some(0),
            lateness_ms: 0,
            executor: None,
            error: Some("<!channel> broke\n".repeat(100)),
            error_code: Some("rate_limited".to_owned()),
            result: None,
        }
    }

    fn made(state: &mut HookState, second: i64) -> Option<Value> {
        let made = state.make(&spec(), at(second), || format!("msg_{second}"));
        made.then(|| serde_json::from_str(&state.pending.as_ref().unwrap().body).unwrap())
    }

    #[test]
    fn an_outage_is_one_message_at_once_and_one_at_the_end_of_each_window() {
        let mut state = HookState::default();
        assert_eq!(made(&mut state, 0), None, "nothing has happened");
        state.add(HookEvent::Dead, &report(0, Outcome::Dead, 1));
        let first = made(&mut state, 1).unwrap();
        assert_eq!((&first["data"]["counts"]["dead"], &first["data"]["left_out"]), (&json!(1), &json!(0)));
        state.delivered();
        for second in 2..10_002 {
            state.add(HookEvent::Dead, &report(second as u32, Outcome::Dead, second));
            assert_eq!(made(&mut state, 100), None, "within the window");
        }
        let rest = made(&mut state, 301).unwrap();
        let data = &rest["data"];
        assert_eq!((&data["counts"]["dead"], &data["left_out"]), (&json!(10_000), &json!(9_995)));
        assert_eq!((&data["jobs"], &data["tenants"]), (&json!(1_000), &json!(7)));
        assert_eq!(data["samples"].as_array().unwrap().len(), SAMPLES);
        assert_eq!(data["samples"][0]["error"].as_str().unwrap().len(), ERROR_SHOWN);
        assert_eq!(rest["text"], "Leasehold, ops: 10000 dead (jobs: 1000, tenants: 7)");
        state.delivered();
        assert_eq!(made(&mut state, 10_000), None, "all is told");
    }

    #[test]
    fn the_size_of_a_state_has_a_limit() {
        let mut state = HookState::default();
        for second in 0..20_000 {
            for event in HookEvent::ALL {
                state.add(event, &report(second as u32, Outcome::Dead, second));
            }
        }
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.len() < 100_000, "{}", text.len());
        assert_eq!(serde_json::from_str::<HookState>(&text).unwrap(), state);
    }

    #[test]
    fn a_message_keeps_its_id_and_text_until_it_is_delivered_or_given_up() {
        let mut state = HookState::default();
        state.add(HookEvent::Dead, &report(0, Outcome::Dead, 1));
        assert!(made(&mut state, 1).is_some());
        let (id, body) = state.pending.as_ref().map(|it| (it.id.clone(), it.body.clone())).unwrap();
        assert!(!state.failed("no".to_owned(), 3));
        state.add(HookEvent::Dead, &report(1, Outcome::Dead, 2));
        assert_eq!(made(&mut state, 1_000), None, "one at a time");
        let pending = state.pending.as_ref().unwrap();
        assert_eq!((&pending.id, &pending.body, pending.tries), (&id, &body, 1));
        assert!(!state.failed("no".to_owned(), 3) && state.failed("no".to_owned(), 3));
        assert_eq!((state.pending.is_none(), state.dropped()), (true, 1));
        let next = made(&mut state, 1_001).unwrap();
        assert_eq!((&next["data"]["dropped_messages"], &next["data"]["counts"]["dead"]), (&json!(1), &json!(1)));
        assert!(state.failed("no".to_owned(), 1), "and what was given up before is not forgotten with it");
        assert_eq!(state.dropped(), 2);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_silence_a_hook() {
        let mut state = HookState::default();
        state.add(HookEvent::Dead, &report(0, Outcome::Dead, 1));
        assert!(made(&mut state, 9_000).is_some());
        state.delivered();
        state.add(HookEvent::Dead, &report(0, Outcome::Dead, 2));
        assert!(made(&mut state, 10).is_some());
    }

    #[test]
    fn what_is_overdue_is_told_once_until_it_is_over() {
        let overdue = |queued: bool, second: i64| Overdue {
            tenant: "acme".parse().unwrap(),
            job: "sync".parse().unwrap(),
            since: at(second),
            queued,
        };
        let mut state = HookState::default();
        state.stand(&spec(), at(70), &[overdue(true, 20)]);
        assert_eq!(made(&mut state, 70), None, "it is not late yet");
        state.stand(&spec(), at(100), &[overdue(true, 40), overdue(true, 20), overdue(true, 90)]);
        let first = made(&mut state, 100).unwrap();
        assert_eq!(first["data"]["overdue"][0]["seen"], json!(2));
        assert_eq!(first["data"]["overdue"][0]["oldest"]["since"], json!(format!("{:.3}", at(20))));
        assert_eq!(first["text"], "Leasehold, ops: late: 2 runs wait");
        state.delivered();
        state.stand(&spec(), at(1_000), &[overdue(true, 20)]);
        assert_eq!(made(&mut state, 1_000), None);
        state.stand(&spec(), at(1_010), &[overdue(false, 20)]);
        assert_eq!(made(&mut state, 1_010).unwrap()["data"]["overdue"][0]["event"], json!("missing"));
        state.delivered();
        state.stand(&spec(), at(2_000), &[overdue(true, 20)]);
        assert_eq!(made(&mut state, 2_000).unwrap()["data"]["overdue"][0]["event"], json!("late"), "it is late again");
    }

    #[test]
    fn a_hook_is_told_of_its_tenants_and_jobs_only() {
        let spec = HookSpec { tenants: vec!["acme".parse().unwrap()], jobs: vec!["sync".parse().unwrap()], ..spec() };
        let concerns = |tenant: &str, job: &str| spec.concerns(&tenant.parse().unwrap(), &job.parse().unwrap());
        assert!(concerns("acme", "sync") && !concerns("globex", "sync") && !concerns("acme", "audit"));
    }

    fn of(report: &Report, recovered: bool) -> Vec<HookEvent> {
        events(report, recovered, MINUTE).collect()
    }

    #[test]
    fn what_a_report_is() {
        let dead = report(0, Outcome::Dead, 1);
        assert_eq!(of(&dead, false), [HookEvent::Dead]);
        assert_eq!(of(&report(0, Outcome::Succeeded, 1), true), [HookEvent::Recovered]);
        assert_eq!(of(&report(0, Outcome::Failed, 1), false), []);
        let late = Report { lateness_ms: 60_001, ..report(0, Outcome::Succeeded, 1) };
        assert_eq!(of(&late, false), [HookEvent::Late]);
        assert_eq!(of(&Report { lateness_ms: 60_000, ..late.clone() }, false), []);
        assert_eq!(of(&Report { attempt: 2, ..late.clone() }, false), [], "a retry is not on the schedule's time");
        assert_eq!(of(&Report { cause: Cause::Backfill, ..late.clone() }, false), [], "nor is a backfill");
        for (outcome, events) in [
            (Outcome::Misfired, &[HookEvent::Missing][..]),
            (Outcome::Expired, &[HookEvent::Missing]),
            (Outcome::Paused, &[]),
            (Outcome::Overlapped, &[]),
            (Outcome::Cancelled, &[]),
            (Outcome::Gated, &[]),
        ] {
            let report = Report { attempt: 0, started_at: None, lateness_ms: 99_999, ..report(0, outcome, 1) };
            assert_eq!(of(&report, false), events, "{outcome}");
        }
    }

    #[test]
    fn a_job_recovers_with_its_first_success_after_it_was_dead() {
        let mut jobs = DeadJobs::default();
        let mut take =
            |job: u32, outcome, was_dead| jobs.take(&HookReport { report: report(job, outcome, 1), was_dead });
        assert!(!take(1, Outcome::Succeeded, false), "it was not dead");
        assert!(take(2, Outcome::Succeeded, true));
        assert!(!take(2, Outcome::Succeeded, true), "the second success is none");
        assert!(!take(3, Outcome::Dead, false) && take(3, Outcome::Succeeded, false) && !take(3, Outcome::Dead, false));
        assert!(!take(3, Outcome::Failed, false) && !take(3, Outcome::Cancelled, false));
        let (dead, alive) = jobs.changes();
        assert_eq!((dead.len(), alive.len()), (1, 1));
    }
}
