//! Where endpoints that answered 202 report: `POST /v1/runs/ID/report`, `/progress` and `/heartbeat`.
//!
//! Any scheduler serves it, leader or not: the store decides what a token is good for. What endpoints send and get is a
//! contract: docs/reference/callbacks.md.
//!
//! Invariants: nothing is read or written for whoever has no token; every refusal for that reason is the same, whatever the
//! reason. Neither memory nor connections grow with what clients do: bodies, times and numbers are bounded.
//!
//! On failure: a store that does not answer is 503, and the endpoint tries again; a report that was recorded twice changes
//! nothing and is answered as the first one.

mod answer;
mod server;
mod settling;
mod word;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, header};
use axum::routing::post;
use clap::Args;
use leasehold_common::definition::Definition;
use leasehold_common::id::CorrelationId;
use leasehold_common::progress::{LogTail, one_line, percent};
use leasehold_common::store::{
    AttemptReport, Callback, LiveCallback, Note, Settled, SharedStore, StoreError, TokenHash,
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use self::answer::Answer;
pub use self::server::{CallbackServer, ServeError, serve};
use self::settling::Settling;
use self::word::{Heard, ProgressWord, ReportWord};
use crate::measure;

/// The header of the token, for those that cannot send `Authorization`.
const TOKEN: &str = "leasehold-callback-token";

/// The largest body.
const BODY_MAX: usize = 256 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How often a report follows a run that its executor leaves open at the same moment.
const PASSES: usize = 3;

/// Where callbacks are served.
#[derive(Args, Clone, Debug)]
pub struct CallbackArgs {
    /// Where endpoints that answered 202 report, as in 0.0.0.0:7080; without it no callbacks are served here
    #[arg(long, env = "LEASEHOLD_CALLBACK_LISTEN", value_name = "ADDRESS",
          value_parser = leasehold_ops::args::listen_address)]
    pub callback_listen: Option<SocketAddr>,
}

#[derive(Clone)]
struct Callbacks {
    store: SharedStore,
    settling: Settling,
}

fn router(store: SharedStore) -> Router {
    let settling = Settling::start(store.clone());
    Router::new()
        .route("/v1/runs/{id}/report", post(report))
        .route("/v1/runs/{id}/progress", post(progress))
        .route("/v1/runs/{id}/heartbeat", post(heartbeat))
        .fallback(|| async { Answer::Unknown })
        .method_not_allowed_fallback(|| async { Answer::Unknown })
        .layer(DefaultBodyLimit::disable()) // bodies are read by hand, within bounds
        .with_state(Callbacks { store, settling })
}

async fn report(State(on): State<Callbacks>, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Answer {
    counted("report", on.report(&id, &headers, body).await)
}

async fn progress(State(on): State<Callbacks>, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Answer {
    counted("progress", on.progress(&id, &headers, body).await)
}

async fn heartbeat(State(on): State<Callbacks>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    counted("heartbeat", on.heartbeat(&id, &headers).await)
}

fn counted(word: &'static str, answer: Result<Answer, Answer>) -> Answer {
    let answer = answer.unwrap_or_else(|answer| answer);
    measure::callback(word, answer.as_str());
    answer
}

impl Callbacks {
    async fn report(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Answer, Answer> {
        let (id, token) = credentials(id, headers)?;
        let mut callback = self.find(id, &token).await?;
        let word: ReportWord = read(body).await?;
        for _ in 0..PASSES {
            let live = match callback {
                Callback::Live(live) => live,
                Callback::Over(outcome) if outcome.is_some_and(|outcome| word.agrees(outcome)) => {
                    return Ok(Answer::RecordedEarlier(outcome));
                }
                Callback::Over(outcome) => return Err(Answer::Over(outcome)),
            };
            let retry = self.definition(&live).await?.retry;
            let left = retry.deadline.map(|deadline| deadline.saturating_sub(live.age));
            let heard = word.hear(&retry, failures(&live), left, rand::random());
            let said = attempt_report(&live, &heard);
            match self.settling.settle(said, live.open).await.map_err(away)? {
                Settled::Recorded => {
                    tracing::debug!(
                        tenant.id = %live.tenant, job.name = %live.job, correlation_id = %id,
                        attempt = live.attempt.attempt, outcome = %heard.outcome, "reported by its endpoint"
                    );
                    return Ok(Answer::Recorded(heard.outcome));
                }
                // Its executor has just left it open, or somebody else has ended it.
                Settled::Stale => callback = self.find(id, &token).await?,
            }
        }
        Err(Answer::Busy)
    }

    async fn progress(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Answer, Answer> {
        let (id, token) = credentials(id, headers)?;
        let live = self.live(id, &token).await?;
        let word: ProgressWord = read(body).await?;
        let log = match &word.log {
            Some(more) => {
                let story = self.store.run(id).await.map_err(away)?;
                let before = story.and_then(|story| story.progress);
                let before = before.filter(|before| before.attempt == live.attempt.attempt);
                let mut log = LogTail::of(&before.map(|before| before.log.join("\n")).unwrap_or_default());
                log.push(more);
                log.text()
            }
            None => None,
        };
        let message = word.message.as_deref().map(one_line);
        let note = Note { attempt: live.attempt, percent: word.percent.map(percent), message, log };
        self.store.note(&[note]).await.map_err(away)?;
        self.alive(&live, &token).await
    }

    async fn heartbeat(&self, id: &str, headers: &HeaderMap) -> Result<Answer, Answer> {
        let (id, token) = credentials(id, headers)?;
        let live = self.live(id, &token).await?;
        self.alive(&live, &token).await
    }

    /// The endpoint is alive, and learns until when it has to be heard of again.
    async fn alive(&self, live: &LiveCallback, token: &TokenHash) -> Result<Answer, Answer> {
        let mut live = live.clone();
        for _ in 0..PASSES {
            if !live.open {
                return Ok(Answer::Alive(None)); // its executor holds it, and has the job's timeout
            }
            if let Some(left) = self.store.keep_open(live.attempt).await.map_err(away)? {
                return Ok(Answer::Alive(Some(left)));
            }
            let before = live.attempt;
            live = self.live(live.attempt.id, token).await?;
            if live.attempt == before {
                return Err(Answer::Over(None)); // too late: the leader is about to end it
            }
        }
        Err(Answer::Busy)
    }

    async fn find(&self, id: CorrelationId, token: &TokenHash) -> Result<Callback, Answer> {
        self.store.callback(id, token).await.map_err(away)?.ok_or(Answer::Unknown)
    }

    async fn live(&self, id: CorrelationId, token: &TokenHash) -> Result<LiveCallback, Answer> {
        match self.find(id, token).await? {
            Callback::Live(live) => Ok(*live),
            Callback::Over(outcome) => Err(Answer::Over(outcome)),
        }
    }

    async fn definition(&self, live: &LiveCallback) -> Result<Definition, Answer> {
        let found = self.store.definitions(&[live.definition]).await.map_err(away)?;
        let body = found.first().map(|(_, body)| body.as_str()).unwrap_or_default();
        serde_json::from_str(body).map_err(|error| {
            tracing::warn!(%error, job.name = %live.job, "this version cannot read the definition of a job");
            Answer::Away
        })
    }
}

/// The run and the hash of the token; what is malformed is as unknown as what is wrong.
fn credentials(id: &str, headers: &HeaderMap) -> Result<(CorrelationId, TokenHash), Answer> {
    let id = id.parse().map_err(|_| Answer::Unknown)?;
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = bearer.or_else(|| headers.get(TOKEN)?.to_str().ok()).ok_or(Answer::Unknown)?;
    Ok((id, Sha256::digest(token.trim()).into()))
}

async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Answer> {
    let bytes = timeout(BODY_TIME, to_bytes(body, BODY_MAX)).await.map_err(|_| Answer::Slow)?;
    let bytes = bytes.map_err(|_| Answer::Large)?;
    serde_json::from_slice(&bytes).map_err(|error| Answer::Malformed(error.to_string()))
}

fn away(error: StoreError) -> Answer {
    tracing::warn!(%error, "a callback has to wait for the store");
    Answer::Away
}

/// Attempts that have failed if this one has: those that were given back do not count.
fn failures(live: &LiveCallback) -> u32 {
    live.attempt.attempt.saturating_sub(live.released)
}

fn attempt_report(live: &LiveCallback, heard: &Heard) -> AttemptReport {
    AttemptReport {
        id: live.attempt.id,
        claim: live.attempt.claim,
        attempt: live.attempt.attempt,
        verdict: heard.verdict,
        duration: live.running_for,
        ended_ago: Duration::ZERO,
        result: heard.result.clone(),
        error: heard.error.clone(),
        code: heard.code.clone(),
    }
}
