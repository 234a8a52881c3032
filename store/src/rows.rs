//! Reading rows. The columns of a file stand in the same order in every dialect, so the readers are written once.

/// Defines the readers for one row type.
macro_rules! readers {
    ($row:ty) => {
        use jiff::Timestamp;
        use leasehold_common::catalog::{Member, StoredJob};
        use leasehold_common::definition::{DefinitionId, Tenant};
        use leasehold_common::hook::{HookReport, Overdue};
        use leasehold_common::id::{CorrelationId, JobKey, JobName, TenantId};
        use leasehold_common::lease::{Leader, LeaseKind};
        use leasehold_common::limit::GateId;
        use leasehold_common::need;
        use leasehold_common::run::{Cause, Outcome, Progress, Report, RunState, RunView};
        use leasehold_common::store::{
            Attempt, AttemptReport, BreakerState, BreakerView, Callback, ConfigInForce, DeadGroup, DueJob, ErrorKind,
            ExecutorView, HandledJob, HookKept, HookTail, HookView, HooksKept, JobHistory, JobVersion, JobView,
            LiveCallback, OnceBegun, Pass, Pause, PauseView, RosterState, SlowJob, SourceView, StoreError, StoreResult,
            Verdict,
        };
        use sqlx::Row as _;
        use uuid::Uuid;

        const READ: &str = "read the store";

        /// One column.
        pub(crate) fn get<'r, T>(row: &'r $row, index: usize) -> StoreResult<T>
        where
            T: sqlx::Decode<'r, <$row as sqlx::Row>::Database> + sqlx::Type<<$row as sqlx::Row>::Database>,
        {
            row.try_get(index).map_err(crate::error::failed(READ))
        }

        /// A name; what is stored was checked when it was written.
        pub(crate) fn name<N: std::str::FromStr<Err = leasehold_common::id::NameError>>(
            row: &$row,
            index: usize,
        ) -> StoreResult<N> {
            get::<&str>(row, index)?.parse().map_err(|error| StoreError::new(ErrorKind::Corrupt, READ, error))
        }

        pub(crate) fn at(row: &$row, index: usize) -> StoreResult<Timestamp> {
            Ok(crate::clock::at(get(row, index)?))
        }

        pub(crate) fn at_opt(row: &$row, index: usize) -> StoreResult<Option<Timestamp>> {
            Ok(get::<Option<i64>>(row, index)?.map(crate::clock::at))
        }

        pub(crate) fn id(row: &$row, index: usize) -> StoreResult<CorrelationId> {
            Ok(CorrelationId::from_uuid(get(row, index)?))
        }

        pub(crate) fn key(row: &$row, index: usize) -> StoreResult<JobKey> {
            Ok(JobKey::from_i64(get(row, index)?))
        }

        pub(crate) fn definition_id(row: &$row, index: usize) -> StoreResult<DefinitionId> {
            Ok(DefinitionId::from_uuid(get(row, index)?))
        }

        /// A count that is never negative.
        pub(crate) fn count(row: &$row, index: usize) -> StoreResult<u32> {
            Ok(u32::try_from(get::<i32>(row, index)?).unwrap_or(0))
        }

        /// A count that is never negative, if there is one.
        pub(crate) fn count_opt(row: &$row, index: usize) -> StoreResult<Option<u32>> {
            Ok(get::<Option<i32>>(row, index)?.map(|count| u32::try_from(count).unwrap_or(0)))
        }

        /// Two columns: paused at, paused until.
        pub(crate) fn pause(row: &$row, index: usize) -> StoreResult<Option<Pause>> {
            Ok(crate::pause(get(row, index)?, get(row, index + 1)?))
        }

        /// Three columns: paused at, paused until, reason. `None` if the job is not paused now.
        fn paused(row: &$row, index: usize, now: i64) -> StoreResult<Option<PauseView>> {
            let Some(pause) = pause(row, index)?.filter(|pause| pause.covers(crate::clock::at(now))) else {
                return Ok(None);
            };
            Ok(Some(PauseView {
                since: pause.at,
                until: (pause.until < Timestamp::MAX).then_some(pause.until),
                reason: get::<Option<String>>(row, index + 2)?.unwrap_or_default(),
            }))
        }

        pub(crate) fn cause(row: &$row, index: usize) -> StoreResult<Cause> {
            let code = get(row, index)?;
            Cause::from_code(code).ok_or_else(|| crate::error::corrupt(READ, format!("unknown cause {code}")))
        }

        pub(crate) fn outcome(row: &$row, index: usize) -> StoreResult<Outcome> {
            let code = get(row, index)?;
            Outcome::from_code(code).ok_or_else(|| crate::error::corrupt(READ, format!("unknown outcome {code}")))
        }

        pub(crate) fn tenant(row: &$row, index: usize) -> StoreResult<Tenant> {
            serde_json::from_str(get(row, index)?).map_err(|error| StoreError::new(ErrorKind::Corrupt, READ, error))
        }

        /// job, code, fingerprint, count, tenants, first, last, sample, its tenant, its error.
        pub(crate) fn dead_group(row: &$row) -> StoreResult<DeadGroup> {
            let number = |index| get::<i64>(row, index).map(i64::unsigned_abs);
            Ok(DeadGroup {
                job: name(row, 0)?,
                error_code: get(row, 1)?,
                group: get(row, 2)?,
                count: number(3)?,
                tenants: number(4)?,
                first_at: at(row, 5)?,
                last_at: at(row, 6)?,
                sample: id(row, 7)?,
                sample_tenant: name(row, 8)?,
                sample_error: get(row, 9)?,
            })
        }

        /// seq, id, due, active.
        pub(crate) fn candidate(row: &$row) -> StoreResult<crate::dead::Candidate> {
            let (seq, active) = (get(row, 0)?, get(row, 3)?);
            Ok(crate::dead::Candidate { seq, id: id(row, 1)?, due: at(row, 2)?, active })
        }

        /// The dead run that a run was made for, and the run that was made for it.
        pub(crate) fn links(row: &$row) -> StoreResult<(Option<CorrelationId>, Option<CorrelationId>)> {
            let link = |index| Ok(get::<Option<Uuid>>(row, index)?.map(CorrelationId::from_uuid));
            Ok((link(0)?, link(1)?))
        }

        /// seq, id, tenant, job, cause, due, attempt, outcome, next attempt, started, finished, executor, error,
        /// result, count, due from, code.
        pub(crate) fn report(row: &$row) -> StoreResult<Report> {
            let scheduled_for = at(row, 5)?;
            let started_at = at_opt(row, 9)?;
            let finished_at = at(row, 10)?;
            let late = started_at.unwrap_or(finished_at).as_millisecond() - scheduled_for.as_millisecond();
            Ok(Report {
                seq: get(row, 0)?,
                correlation_id: id(row, 1)?,
                tenant: name::<TenantId>(row, 2)?,
                job: name::<JobName>(row, 3)?,
                cause: cause(row, 4)?,
                scheduled_for,
                attempt: count(row, 6)?,
                outcome: outcome(row, 7)?,
                next_attempt_at: at_opt(row, 8)?,
                started_at,
                finished_at,
                duration_ms: started_at.map(|started| (finished_at.as_microsecond() - started.as_microsecond()) / 1000),
                lateness_ms: late.max(0),
                executor: get::<Option<Uuid>>(row, 11)?.map(|id| id.to_string()),
                error: get(row, 12)?,
                result: get::<Option<&str>>(row, 13)?.map(json),
                count: count(row, 14)?,
                scheduled_from: at_opt(row, 15)?,
                error_code: get(row, 16)?,
            })
        }

        /// seq, name, state, tries, error, delivered; one row without a name if there is no hook.
        pub(crate) fn hooks(rows: &[$row]) -> StoreResult<HooksKept> {
            let mut kept =
                HooksKept { seq: rows.first().map(|row| get(row, 0)).transpose()?.flatten(), hooks: Vec::new() };
            for row in rows {
                let Some(hook) = get(row, 1)? else { continue };
                let view = HookView { hook, tries: count(row, 3)?, error: get(row, 4)?, delivered_at: at_opt(row, 5)? };
                kept.hooks.push(HookKept { view, state: get(row, 2)? });
            }
            Ok(kept)
        }

        /// As [`report`], whether its job was dead, now, end of the window, how many reports were in it; one row without
        /// a report if none was found.
        pub(crate) fn hook_tail(rows: &[$row], after: i64) -> StoreResult<HookTail> {
            let Some(first) = rows.first() else { return Err(crate::error::corrupt(READ, "no row of the clock")) };
            let mut tail = HookTail {
                now: at(first, 18)?,
                seq: get::<Option<i64>>(first, 19)?.unwrap_or(after),
                looked_at: count(first, 20)?,
                reports: Vec::new(),
            };
            for row in rows {
                if get::<Option<i64>>(row, 0)?.is_some() {
                    tail.reports.push(HookReport { report: report(row)?, was_dead: get(row, 17)? });
                }
            }
            Ok(tail)
        }

        /// tenant, job, since when, whether it is in the queue.
        pub(crate) fn overdue(row: &$row) -> StoreResult<Overdue> {
            Ok(Overdue { tenant: name(row, 0)?, job: name(row, 1)?, since: at(row, 2)?, queued: get(row, 3)? })
        }

        /// What a handler returned; text that is not JSON can only come from a damaged store and is shown as text.
        fn json(text: &str) -> serde_json::Value {
            serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.to_owned()))
        }

        /// kind.
        pub(crate) fn lease_kind(row: &$row) -> StoreResult<LeaseKind> {
            let kind: &str = get(row, 0)?;
            kind.parse().map_err(|()| crate::error::corrupt(READ, format!("unknown kind of lease {kind:?}")))
        }

        /// kind, epoch, holder, host, pid, elected, expires. `None` if the last leader resigned.
        pub(crate) fn leader(row: &$row, now: i64) -> StoreResult<Option<Leader>> {
            let Some(holder) = get(row, 2)? else { return Ok(None) };
            Ok(Some(Leader {
                holder,
                host: get(row, 3)?,
                pid: count(row, 4)?,
                term: get(row, 1)?,
                expires_in_ms: (get::<i64>(row, 6)? - now) / 1000,
                elected_at: at(row, 5)?,
                kind: lease_kind(row)?,
            }))
        }

        /// id, host, pid, version, slots, running, queues, draining, seen, abilities.
        pub(crate) fn executor(row: &$row, now: i64) -> StoreResult<ExecutorView> {
            Ok(ExecutorView {
                id: get(row, 0)?,
                host: get(row, 1)?,
                pid: count(row, 2)?,
                version: get(row, 3)?,
                slots: count(row, 4)?,
                running: count(row, 5)?,
                queues: get::<&str>(row, 6)?.split_whitespace().map(str::to_owned).collect(),
                draining: get(row, 7)?,
                seen_ms_ago: ((now - get::<i64>(row, 8)?) / 1000).max(0),
                abilities: get::<Option<&str>>(row, 9)?.and_then(|list| serde_json::from_str(list).ok()),
            })
        }

        /// endpoint, probing, opened, retry, times, waiting, error, executor.
        pub(crate) fn breaker(row: &$row) -> StoreResult<BreakerView> {
            let state = if get(row, 1)? { BreakerState::Probing } else { BreakerState::Open };
            Ok(BreakerView {
                endpoint: get(row, 0)?,
                state,
                opened_at: at(row, 2)?,
                retry_at: at(row, 3)?,
                times: count(row, 4)?,
                waiting: get::<i64>(row, 5)?.unsigned_abs(),
                error: get(row, 6)?,
                executor: get(row, 7)?,
            })
        }

        /// What a job needs, with the number of jobs; or a gate, with the number of items: handler, jobs, gate, waiting.
        pub(crate) fn need(row: &$row) -> StoreResult<crate::needs::Row> {
            Ok(match get::<Option<i64>>(row, 2)? {
                Some(gate) => crate::needs::Row::Waiting(gate, get::<i64>(row, 3)?.unsigned_abs()),
                None => {
                    let need = get::<Option<&str>>(row, 0)?.map_or_else(|| need::COMMAND.to_owned(), need::handler);
                    crate::needs::Row::Jobs(need, get::<i64>(row, 1)?.unsigned_abs())
                }
            })
        }

        /// tenant, job, version, definition, next due, last fired, key, paused at, paused until, pause reason, runs
        /// left.
        pub(crate) fn job(row: &$row, now: i64) -> StoreResult<JobView> {
            Ok(JobView {
                tenant: name::<TenantId>(row, 0)?,
                job: name::<JobName>(row, 1)?,
                version: get(row, 2)?,
                definition: json(get(row, 3)?),
                next_due: at_opt(row, 4)?,
                last_fired: at_opt(row, 5)?,
                key: key(row, 6)?,
                paused: paused(row, 7, now)?,
                runs_left: count_opt(row, 10)?,
            })
        }

        /// key, version, definition, next due, accounted, paused at, paused until, runs left, gated.
        pub(crate) fn due_job(row: &$row) -> StoreResult<DueJob> {
            Ok(DueJob {
                key: key(row, 0)?,
                version: get(row, 1)?,
                definition: definition_id(row, 2)?,
                next_due: at(row, 3)?,
                accounted: at(row, 4)?,
                pause: pause(row, 5)?,
                runs_left: count_opt(row, 7)?,
                gated: get(row, 8)?,
            })
        }

        /// A row of key, active, accounted, next due, paused at, paused until, pruned before; and the rows of
        /// `version_and_body`, `report` and `live_due`.
        pub(crate) fn history(
            row: &$row,
            now: i64,
            (versions, reports, live): (&[$row], &[$row], &[$row]),
        ) -> StoreResult<JobHistory> {
            Ok(JobHistory {
                key: key(row, 0)?,
                now: crate::clock::at(now),
                active: get(row, 1)?,
                versions: versions.iter().map(version_and_body).collect::<StoreResult<_>>()?,
                reports: reports.iter().map(report).collect::<StoreResult<_>>()?,
                live: live.iter().map(live_due).collect::<StoreResult<_>>()?,
                accounted: at(row, 2)?,
                next_due: at_opt(row, 3)?,
                pause: pause(row, 4)?,
                pruned_before: at_opt(row, 6)?,
            })
        }

        /// key, accounted, paused at, paused until, next due.
        pub(crate) fn account(row: &$row) -> StoreResult<(JobKey, crate::past::Account)> {
            let (pause, next_due) = (pause(row, 2)?, at_opt(row, 4)?);
            Ok((key(row, 0)?, crate::past::Account { accounted: at(row, 1)?, pause, next_due }))
        }

        /// tenant, job, duration, interval: both in milliseconds.
        pub(crate) fn slow_job(row: &$row) -> StoreResult<SlowJob> {
            Ok(SlowJob {
                tenant: name::<TenantId>(row, 0)?,
                job: name::<JobName>(row, 1)?,
                duration_ms: get(row, 2)?,
                interval_ms: get(row, 3)?,
            })
        }

        /// version, definition, valid from, valid to.
        pub(crate) fn job_version(row: &$row) -> StoreResult<JobVersion> {
            Ok(JobVersion {
                version: get(row, 0)?,
                definition: definition_id(row, 1)?,
                valid_from: at(row, 2)?,
                valid_to: at_opt(row, 3)?,
            })
        }

        /// tenant, job, definition.
        pub(crate) fn handled_job(row: &$row) -> StoreResult<HandledJob> {
            Ok(HandledJob { tenant: name(row, 0)?, job: name(row, 1)?, definition: get(row, 2)? })
        }

        /// From `first` on: run, attempt, begun, done, result; all null if nobody has begun it.
        pub(crate) fn begun_once(row: &$row, first: usize, busy: bool) -> StoreResult<Option<OnceBegun>> {
            let Some(run) = get::<Option<Uuid>>(row, first)?.map(CorrelationId::from_uuid) else { return Ok(None) };
            if get::<Option<i64>>(row, first + 3)?.is_some() {
                return Ok(Some(OnceBegun::Done { result: get(row, first + 4)? }));
            }
            if busy {
                return Ok(Some(OnceBegun::Busy { run }));
            }
            Ok(Some(OnceBegun::Unfinished { run, attempt: count(row, first + 1)?, at: at(row, first + 2)? }))
        }

        /// version, definition, valid from, valid to, body.
        fn version_and_body(row: &$row) -> StoreResult<(JobVersion, String)> {
            Ok((job_version(row)?, get(row, 4)?))
        }

        /// attributes, source, row.
        pub(crate) fn member(row: &$row) -> StoreResult<Member> {
            Ok(Member { tenant: tenant(row, 0)?, source: get(row, 1)?, row: get(row, 2)? })
        }

        fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> StoreResult<T> {
            serde_json::from_str(text).map_err(|error| StoreError::new(ErrorKind::Corrupt, READ, error))
        }

        /// now, config, asked, drop allowed, done, config of the pass, instant of the pass.
        pub(crate) fn roster_state(row: &$row) -> StoreResult<RosterState> {
            let pass = get::<Option<i64>>(row, 5)?.zip(at_opt(row, 6)?).map(|(config, at)| Pass { config, at });
            Ok(RosterState {
                now: at(row, 0)?,
                config: get(row, 1)?,
                asked: get(row, 2)?,
                drop_allowed: get(row, 3)?,
                done: get(row, 4)?,
                pass,
            })
        }

        /// config, revision, instant.
        pub(crate) fn config_in_force(row: &$row) -> StoreResult<ConfigInForce> {
            Ok(ConfigInForce { text: parsed(get(row, 0)?)?, revision: get(row, 1)?, at: at(row, 2)? })
        }

        /// name, asked, good, tenants, refused, refusals, error, held.
        pub(crate) fn source(row: &$row) -> StoreResult<SourceView> {
            let number = |index| get::<i64>(row, index).map(|number| u64::try_from(number).unwrap_or(0));
            Ok(SourceView {
                source: get(row, 0)?,
                asked_at: at_opt(row, 1)?,
                good_at: at_opt(row, 2)?,
                tenants: number(3)?,
                refused: number(4)?,
                refusals: parsed(get(row, 5)?)?,
                error: get(row, 6)?,
                held: get::<Option<&str>>(row, 7)?.map(parsed).transpose()?,
            })
        }

        /// Gates as a JSON list of their ids, or null for none.
        fn gates(row: &$row, index: usize) -> StoreResult<Vec<GateId>> {
            let Some(text) = get::<Option<&str>>(row, index)? else { return Ok(Vec::new()) };
            let ids: Vec<i64> = parsed(text)?;
            Ok(ids.into_iter().map(GateId::from_i64).collect())
        }

        /// key, tenant, job, version, definition, active, gated, gates.
        pub(crate) fn stored_job(row: &$row) -> StoreResult<StoredJob> {
            Ok(StoredJob {
                key: key(row, 0)?,
                tenant: name::<TenantId>(row, 1)?,
                name: name::<JobName>(row, 2)?,
                version: get(row, 3)?,
                definition: definition_id(row, 4)?,
                active: get(row, 5)?,
                gated: get(row, 6)?,
                gates: gates(row, 7)?,
            })
        }

        fn state(row: &$row, index: usize) -> StoreResult<RunState> {
            let code: i32 = get(row, index)?;
            Ok(i16::try_from(code).ok().and_then(RunState::from_code).unwrap_or(RunState::Waiting))
        }

        /// due, state.
        fn live_due(row: &$row) -> StoreResult<(Timestamp, RunState)> {
            Ok((at(row, 0)?, state(row, 1)?))
        }

        /// id, tenant, job, cause, due, state, attempt, not before, started, executor, percent.
        pub(crate) fn live_run(row: &$row) -> StoreResult<RunView> {
            Ok(RunView {
                correlation_id: id(row, 0)?,
                tenant: name::<TenantId>(row, 1)?,
                job: name::<JobName>(row, 2)?,
                cause: cause(row, 3)?,
                scheduled_for: at(row, 4)?,
                state: state(row, 5)?,
                outcome: None,
                attempt: count(row, 6)?,
                not_before: at_opt(row, 7)?,
                started_at: at_opt(row, 8)?,
                finished_at: None,
                executor: get::<Option<Uuid>>(row, 9)?.map(|id| id.to_string()),
                percent: percent(row, 10)?,
                error: None,
            })
        }

        fn percent(row: &$row, index: usize) -> StoreResult<Option<u8>> {
            Ok(get::<Option<i16>>(row, index)?.and_then(|percent| u8::try_from(percent).ok()))
        }

        /// attempt, percent, message, log, at.
        pub(crate) fn progress(row: &$row) -> StoreResult<Progress> {
            Ok(Progress {
                attempt: count(row, 0)?,
                percent: percent(row, 1)?,
                message: get(row, 2)?,
                log: get::<Option<&str>>(row, 3)?.unwrap_or_default().lines().map(str::to_owned).collect(),
                at: at(row, 4)?,
            })
        }

        /// attempt, claim, running for: the end of a run that is open and that somebody cancels.
        pub(crate) fn cancelled(row: &$row, id: CorrelationId) -> StoreResult<AttemptReport> {
            Ok(AttemptReport {
                id,
                claim: get(row, 1)?,
                attempt: count(row, 0)?,
                verdict: Verdict::Cancelled,
                duration: crate::clock::span_of(get(row, 2)?),
                ended_ago: std::time::Duration::ZERO,
                result: None,
                error: Some(crate::CANCELLED_ON_REQUEST.to_owned()),
                code: Some("cancelled".to_owned()),
            })
        }

        /// attempt, claim, tenant, job, definition, released, running for, open, outcome, age; from claim to running for null
        /// if the attempt is over.
        pub(crate) fn callback(row: &$row, id: CorrelationId) -> StoreResult<Callback> {
            let Some(claim) = get::<Option<Uuid>>(row, 1)? else {
                return Ok(Callback::Over(get::<Option<i16>>(row, 8)?.and_then(Outcome::from_code)));
            };
            Ok(Callback::Live(Box::new(LiveCallback {
                attempt: Attempt { id, attempt: count(row, 0)?, claim },
                tenant: name::<TenantId>(row, 2)?,
                job: name::<JobName>(row, 3)?,
                definition: definition_id(row, 4)?,
                released: count(row, 5)?,
                running_for: crate::clock::span_of(get(row, 6)?),
                age: crate::clock::span_of(get(row, 9)?),
                open: get(row, 7)?,
            })))
        }
    };
}
pub(crate) use readers;

use leasehold_common::id::CorrelationId;
use leasehold_common::run::{Progress, Report, RunState, RunStory, RunView};
use leasehold_common::store::RunFilter;

/// The run that a terminal report is the record of.
pub(crate) fn ended_run(report: Report) -> RunView {
    RunView {
        correlation_id: report.correlation_id,
        tenant: report.tenant,
        job: report.job,
        cause: report.cause,
        scheduled_for: report.scheduled_for,
        state: RunState::Ended,
        outcome: Some(report.outcome),
        attempt: report.attempt,
        not_before: None,
        started_at: report.started_at,
        finished_at: Some(report.finished_at),
        executor: report.executor,
        percent: None,
        error: report.error,
    }
}

/// Where a run stands and what was reported of it; `None` if neither is known.
pub(crate) fn story(
    live: Option<RunView>,
    reports: Vec<Report>,
    progress: Option<Progress>,
    (origin, redriven_as): (Option<CorrelationId>, Option<CorrelationId>),
) -> Option<RunStory> {
    let run = match live {
        Some(mut run) => {
            run.error = reports.last().and_then(|report| report.error.clone());
            run
        }
        None => ended_run(reports.last()?.clone()),
    };
    Some(RunStory { run, progress, origin, redriven_as, reports })
}

/// Puts runs that are live and runs that are over into one list, the latest due time first.
pub(crate) fn merge(mut live: Vec<RunView>, ended: Vec<RunView>, limit: u32) -> Vec<RunView> {
    live.extend(ended);
    live.sort_by(|a, b| {
        (b.scheduled_for, b.correlation_id, b.finished_at).cmp(&(a.scheduled_for, a.correlation_id, a.finished_at))
    });
    live.truncate(limit as usize);
    live
}

/// Whether somebody who set this filter wants to see the report.
pub(crate) fn matches(filter: &RunFilter, report: &Report) -> bool {
    fn among<T: PartialEq>(wanted: &[T], value: &T) -> bool {
        wanted.is_empty() || wanted.contains(value)
    }
    among(&filter.tenants, &report.tenant)
        && among(&filter.jobs, &report.job)
        && among(&filter.outcomes, &report.outcome)
}
