//! Runs claimed work, one tokio task for each run.
//!
//! Owns an attempt from its claim to its report: the context, the time limit, the orderly stop and the end by force.
//! Must not know how work is found or how reports reach the store.
//!
//! Invariants: every attempt ends in exactly one report, unless its claim was lost, when it ends in none; a panic is
//! a failure of its run alone. The handler runs in a task of its own, so that one that blocks its thread still times
//! out: it costs the thread until it ends, and not the run's outcome.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::retry::RetryPolicy;
use leasehold_common::run::{Cause, clip};
use leasehold_common::store::{Attempt, AttemptReport, ClaimedRun, Opening, SharedStore, Verdict};
use leasehold_common::template::{RunScope, Scope, render_json};
use metrics::histogram;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;
use url::Url;

use crate::breakers::{Breakers, Sight};
use crate::charges::Charges;
use crate::handler::command::CommandHandler;
use crate::handler::databases::Databases;
use crate::handler::http::HttpHandler;
use crate::handler::http::callback::Handover;
use crate::handler::once::Held;
use crate::handler::service::Registered;
use crate::handler::state::States;
use crate::handler::{HandlerError, RunContext};
use crate::live::{Live, StopCause, Ticket};
use crate::metric;
use crate::notes::Notes;
use crate::recipes::{Action, Prepared, Recipe};
use crate::verdict::{Circumstances, Ending, Judgement, judge};

/// How much longer than a handler's own grace the runner waits: a handler that ends its work by force itself should
/// get to say so.
const LAST_WORD: Duration = Duration::from_secs(2);

/// A report on its way to the store.
#[derive(Debug)]
pub(crate) struct Ended {
    /// As the store takes it, but for `ended_ago`.
    pub(crate) report: AttemptReport,
    /// If the endpoint has taken the run and reports by itself, how; `report` is then what becomes of it if no report
    /// comes.
    pub(crate) opening: Option<Opening>,
    pub(crate) at: Instant,
    /// For the log.
    pub(crate) tenant: TenantId,
    pub(crate) job: JobName,
}

/// What an executor can run.
pub(crate) struct Handlers {
    pub(crate) named: HashMap<String, Registered>,
    /// What they are given.
    pub(crate) states: States,
    pub(crate) http: HttpHandler,
    /// `None`: programs are not allowed.
    pub(crate) command: Option<CommandHandler>,
    pub(crate) databases: Databases,
}

impl Handlers {
    async fn run(&self, recipe: &Recipe, context: RunContext) -> Result<Value, HandlerError> {
        match recipe.action.as_ref().map_err(HandlerError::new)? {
            Action::Http(call) => self.http.call(call, context).await,
            Action::Command(call) => match &self.command {
                Some(command) => command.call(call, context).await,
                None => {
                    let what = "this executor runs no commands; start it with --allow-commands";
                    Err(HandlerError::new(what).code("handler.unknown"))
                }
            },
            Action::Sql(call) => call.call(&self.databases, context).await,
            Action::Named(name) => match self.named.get(name) {
                Some(handler) => handler.run(context).await,
                None => Err(self.unknown(name)),
            },
        }
    }

    fn unknown(&self, name: &str) -> HandlerError {
        let mut known: Vec<&str> = self.named.keys().map(String::as_str).collect();
        known.sort_unstable();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        HandlerError::new(format!("this executor has no handler {name:?}; it has {known}")).code("handler.unknown")
    }
}

/// Starts runs. See the module.
pub(crate) struct Runner {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) store: SharedStore,
    pub(crate) live: Arc<Live>,
    pub(crate) reports: UnboundedSender<Ended>,
    pub(crate) charges: Arc<Charges>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) breakers: Breakers,
    /// For handlers that leave their run open, and where callbacks are served.
    pub(crate) public_url: Option<Arc<Url>>,
    pub(crate) running: TaskTracker,
    pub(crate) grace: Duration,
    /// Cancelled when no new work may begin.
    pub(crate) stopping: CancellationToken,
}

impl Runner {
    /// Starts a run.
    pub(crate) fn start(self: &Arc<Self>, prepared: Prepared, ticket: Ticket) {
        let span = tracing::info_span!(
            "run",
            tenant.id = %prepared.run.tenant,
            job.name = %prepared.run.job,
            correlation_id = %prepared.run.id,
            attempt = prepared.run.attempt,
        );
        let runner = Arc::clone(self);
        self.running.spawn(async move { runner.run(prepared, ticket).await }.instrument(span));
    }

    /// Gives a run back that was never started.
    pub(crate) fn give_back(&self, run: &ClaimedRun, ticket: &Ticket) {
        let said = Some(Err(HandlerError::new("the run had not been started")));
        let ending = Ending::Stopped { cause: StopCause::Drained, said };
        let circumstances = Circumstances { retry: &RetryPolicy::default(), failures: 0, left: None, chance: 0.0 };
        self.report(run, ticket, judge(ending, circumstances), Duration::ZERO, None);
    }

    async fn run(&self, prepared: Prepared, ticket: Ticket) {
        let Prepared { run, recipe, tenant, payload } = prepared;
        let started = Instant::now();
        if run.attempt == 1 && run.cause == Cause::Schedule {
            histogram!(metric::LATENESS).record(lateness(run.scheduled_for));
        }
        let attempt = Attempt { id: run.id, attempt: run.attempt, claim: ticket.claim() };
        let handover = Handover::new(Arc::clone(&self.store), self.public_url.clone(), attempt);
        // What is left of the run's deadline, by the store's clock at the claim.
        let left = recipe.retry.deadline.map(|deadline| deadline.saturating_sub(run.age));
        let limit = left.map_or(recipe.timeout, |left| left.min(recipe.timeout));
        let sight = Sight::default();
        let refused = |error| Some(Ending::Returned(Err(error)));
        let ending = match tenant {
            _ if left == Some(Duration::ZERO) => refused(past_deadline()),
            Some(tenant) => match self.context(&run, &recipe, tenant, payload, &ticket, handover.clone()) {
                Ok(context) => {
                    self.attempt(&recipe, limit, context.with_timeout(limit).with_sight(sight.clone()), &ticket).await
                }
                Err(error) => refused(error),
            },
            None => refused(HandlerError::new(format!("there is no tenant {}", run.tenant))),
        };
        let duration = started.elapsed();
        self.charges.ended(&run, duration);
        let Some(ending) = ending else {
            tracing::warn!("the claim was lost: the run was ended, and another executor may run it");
            return;
        };
        histogram!(metric::RUN).record(duration);
        // Crashed attempts count, given back ones do not.
        let failures = run.attempt.saturating_sub(run.released);
        let left = left.map(|left| left.saturating_sub(duration));
        let circumstances = Circumstances { retry: &recipe.retry, failures, left, chance: rand::random() };
        if let Some(spec) = handover.taken().filter(|_| ending.is_success()) {
            if let Some(endpoint) = &recipe.endpoint {
                self.breakers.answered(endpoint, &run).await;
            }
            let bound = |length: Duration| left.map_or(length, |left| length.min(left));
            let (within, total) = (bound(spec.within), bound(spec.total));
            let left = left.map(|left| left.saturating_sub(within));
            let silent = Ending::TimedOut { limit: within, said: None };
            let judgement = judge(silent, Circumstances { left, ..circumstances });
            let retry = if let Verdict::Retry(wait) = judgement.verdict { Some(wait) } else { None };
            tracing::debug!(?within, "left open: the endpoint reports by itself");
            let opening = Opening { attempt, within, total, retry };
            return self.report(&run, &ticket, judgement, duration, Some(opening));
        }
        let timed_out = matches!(ending, Ending::TimedOut { .. });
        let mut judgement = judge(ending, circumstances);
        if let Some(endpoint) = &recipe.endpoint {
            judgement = self.breakers.weigh(endpoint, &sight, timed_out, &run, judgement).await;
        }
        log(judgement.verdict, duration, judgement.error.as_deref());
        self.report(&run, &ticket, judgement, duration, None);
    }

    fn report(
        &self,
        run: &ClaimedRun,
        ticket: &Ticket,
        judgement: Judgement,
        duration: Duration,
        opening: Option<Opening>,
    ) {
        let Judgement { verdict, result, error, code } = judgement;
        let report = AttemptReport {
            id: run.id,
            claim: ticket.claim(),
            attempt: run.attempt,
            verdict,
            duration,
            ended_ago: Duration::ZERO,
            result,
            error,
            code,
        };
        let ended = Ended { report, opening, at: Instant::now(), tenant: run.tenant.clone(), job: run.job.clone() };
        self.live.reported();
        // The reporter outlives all runs; if it is gone, so is the process.
        let _ = self.reports.send(ended);
    }

    /// `None`: the claim was lost.
    async fn attempt(
        &self,
        recipe: &Arc<Recipe>,
        limit: Duration,
        context: RunContext,
        ticket: &Ticket,
    ) -> Option<Ending> {
        // The claim may have run out before its answer came, or while this process stood still.
        self.live.expire();
        if ticket.is_lost() {
            return None;
        }
        let token = context.cancellation().clone();
        // Whatever the handler started on the side hears when the attempt is over.
        let _over = token.clone().drop_guard();
        let mut handler = self.spawn(Arc::clone(recipe), context);
        tokio::select! {
            biased;
            () = ticket.lost() => None,
            said = &mut handler => Some(match ticket.cause() {
                // It heard of it first.
                Some(cause) => Ending::Stopped { cause, said: Some(answer(said)) },
                None => Ending::Returned(answer(said)),
            }),
            cause = ticket.stopped() => {
                let said = self.last_word(handler, ticket).await?;
                Some(Ending::Stopped { cause, said })
            }
            () = sleep(limit) => {
                token.cancel();
                let said = self.last_word(handler, ticket).await?;
                Some(Ending::TimedOut { limit, said })
            }
        }
    }

    /// What the handler is told; fails if the tenant lacks a value that the payload asks for.
    fn context(
        &self,
        run: &ClaimedRun,
        recipe: &Recipe,
        tenant: Arc<Tenant>,
        own: Option<Arc<Value>>,
        ticket: &Ticket,
        handover: Handover,
    ) -> Result<RunContext, HandlerError> {
        let scope = RunScope { correlation_id: run.id, attempt: run.attempt, scheduled_for: run.scheduled_for };
        let payload = match recipe.payload.as_deref().filter(|_| recipe.templated) {
            _ if own.is_some() => own, // data, and no template
            Some(payload) => {
                let scope = Scope { tenant: &tenant, job: &run.job, run: Some(scope) };
                let rendered = render_json(payload, &scope);
                Some(Arc::new(rendered.map_err(|error| HandlerError::from(error).code("payload"))?))
            }
            None => recipe.payload.clone(),
        };
        let context = RunContext::new(tenant, run.job.clone(), scope)
            .with_payload(payload)
            .with_cancellation(ticket.token())
            .with_databases(self.handlers.databases.clone())
            .with_states(self.handlers.states.clone())
            .with_notebook(self.notes.of(handover.attempt()))
            .with_handover(handover)
            .with_held(Held { store: Arc::clone(&self.store), claim: ticket.claim() });
        Ok(context)
    }

    fn spawn(&self, recipe: Arc<Recipe>, context: RunContext) -> AbortOnDropHandle<Result<Value, HandlerError>> {
        let handlers = Arc::clone(&self.handlers);
        let current = context.current();
        let run: BoxFuture<'static, _> = Box::pin(async move { handlers.run(&recipe, context).await });
        AbortOnDropHandle::new(tokio::spawn(current.scope(run).in_current_span()))
    }

    /// What the handler says once it was told to stop; `Some(None)` if it does not stop in time and is ended by
    /// force, `None` if the claim was lost meanwhile.
    async fn last_word(
        &self,
        mut handler: AbortOnDropHandle<Result<Value, HandlerError>>,
        ticket: &Ticket,
    ) -> Option<Option<Result<Value, HandlerError>>> {
        tokio::select! {
            biased;
            () = ticket.lost() => None,
            said = &mut handler => Some(Some(answer(said))),
            () = sleep(self.grace + LAST_WORD) => Some(None),
        }
    }
}

fn answer(said: Result<Result<Value, HandlerError>, JoinError>) -> Result<Value, HandlerError> {
    match said {
        Ok(said) => said,
        Err(error) => Err(HandlerError::new(panicked(error)).code("panic")),
    }
}

fn panicked(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "the handler was ended with the runtime".to_owned() };
    let message = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    format!("the handler panicked: {}", message.unwrap_or("without a message"))
}

fn past_deadline() -> HandlerError {
    HandlerError::permanent("the deadline of the run was over before this attempt could start").code("deadline")
}

/// By this machine's clock: good enough for a metric, and decides nothing.
fn lateness(scheduled_for: Timestamp) -> f64 {
    Timestamp::now().duration_since(scheduled_for).as_secs_f64().max(0.0)
}

fn log(verdict: Verdict, duration: Duration, error: Option<&str>) {
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // A log line is no place for 16 KiB of output; the report has it.
    let error = error.map(|error| clip(error).chars().take(300).collect::<String>()).unwrap_or_default();
    match verdict {
        Verdict::Succeeded => tracing::debug!(duration_ms, "succeeded"),
        Verdict::Retry(wait) => tracing::info!(duration_ms, error, retry_in = ?wait, "failed"),
        Verdict::Dead => tracing::warn!(duration_ms, error, "failed for good"),
        Verdict::Cancelled => tracing::info!(duration_ms, error, "cancelled"),
        Verdict::Released => tracing::info!(duration_ms, error, "given back"),
    }
}
