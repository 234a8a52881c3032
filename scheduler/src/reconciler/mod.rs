//! Keeps tenants and jobs as the config in force and its live sources say.
//!
//! Owns when the sources are asked and whether an answer is believed. Must not know what the config's keys mean or how
//! a source keeps its tenants.
//!
//! A tick looks at one small row of the store. There is work if the config has changed, an override begins or ends, it is
//! time to ask the sources, or somebody wants them asked. Then all sources are asked at once; if nothing is new, how they
//! stand is recorded and that is all. Otherwise a [`pass`] writes the difference, in batches under the term.
//!
//! Invariants: an error of a source, or an answer that leaves out more of its tenants than `max_drop`, changes nothing
//! and is told; what a source said before is forgotten with the term, so that a new leader compares everything once.
//!
//! On failure: a store that does not answer ends the tick, and the next one begins anew; batches that are written stay
//! written.

mod answer;
mod drops;
mod http;
mod pass;
mod planning;
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use leasehold_common::config::Config;
use leasehold_common::id::TenantId;
use leasehold_common::roster::SourceSpec;
use leasehold_common::store::{
    Held, Pass as PassMark, Recorded, RosterRecord, RosterState, SharedStore, SourceRecord, StoreResult,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::answer::{Answer, Refused};
use self::pass::{Ended, Found, Guide, Pass};
pub use self::planning::Planner;
use self::source::{Asked, SourceError};
use crate::measure;
use crate::outbound::Client;
use crate::service::{Service, Ticked};
use crate::term::LeaderTerm;

/// How often the reconciler looks whether there is work.
const LOOK: Duration = Duration::from_secs(1);

/// After a pass that failed, the sources are not asked again at once.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

pub(crate) struct Reconciler {
    store: SharedStore,
    client: Client,
    /// How long a source may take.
    time: Duration,
    planner: Planner,
    /// The revision of the config that was looked at last, and the config if it can be read.
    seen: Option<i64>,
    force: Option<InForce>,
    /// When the sources were last asked; `None`: what they say is not known.
    asked: Option<Instant>,
    not_before: Option<Instant>,
    sources: Vec<Known>,
    /// Tenants that were refused last time.
    refused: HashSet<TenantId>,
}

/// The config in force.
struct InForce {
    revision: i64,
    hash: String,
    at: jiff::Timestamp,
    config: Arc<Config>,
}

/// What is known of a source.
#[derive(Clone, Debug, Default)]
struct Known {
    /// By what it can be asked whether anything has changed.
    etag: Option<String>,
    /// Its last answer that was believed.
    hash: Option<[u8; 32]>,
    refused: Refused,
    record: SourceRecord,
}

/// What a tick is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    /// All tenants are gone through, since the config or the time has changed.
    all: bool,
    /// What the sources say is not known yet.
    fresh: bool,
}

/// What one tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Whether the sources were asked.
    pub(crate) asked: bool,
    /// Tenants that came or changed, and that went.
    pub(crate) put: u64,
    pub(crate) left: u64,
}

/// An answer, judged.
#[derive(Debug)]
enum Judged {
    /// The source says what it said before, in these rows if it was a whole answer.
    Same(Option<Answer>),
    /// It says something else.
    New(Answer, Option<String>),
    /// It leaves out too many.
    Held(Held),
    Failed(SourceError),
}

impl Reconciler {
    pub(crate) fn new(store: SharedStore, time: Duration) -> Self {
        Self {
            store,
            client: Client::new(),
            time,
            planner: Planner::default(),
            seen: None,
            force: None,
            asked: None,
            not_before: None,
            sources: Vec::new(),
            refused: HashSet::new(),
        }
    }

    /// Takes note of the config in force.
    async fn load(&mut self, state: &RosterState) -> StoreResult<()> {
        if self.seen == state.config {
            return Ok(());
        }
        (self.seen, self.force, self.asked) = (None, None, None);
        let Some(stored) = self.store.config().await? else { return Ok(()) };
        let (revision, at, hash) = (stored.revision, stored.at, stored.text.hash());
        self.seen = Some(revision);
        let read = tokio::task::spawn_blocking(move || stored.text.check()).await;
        match read.ok().and_then(|checked| checked.config) {
            Some(config) => {
                self.sources = vec![Known::default(); config.roster().sources.len()];
                self.force = Some(InForce { revision, hash, at, config: Arc::new(config) });
            }
            None => tracing::error!(
                revision,
                "the config in force cannot be read by this version: apply it again, or run the version that wrote it"
            ),
        }
        Ok(())
    }

    /// Whether there is anything to do.
    fn work(&self, state: &RosterState) -> Option<Work> {
        let force = self.force.as_ref()?;
        if self.not_before.is_some_and(|then| Instant::now() < then) {
            return None;
        }
        let roster = force.config.roster();
        let passed = state.pass.filter(|pass| pass.config == force.revision);
        let changed = force.config.next_change(passed.map_or(force.at, |pass| pass.at));
        let all = passed.is_none() && !roster.sources.is_empty() || changed.is_some_and(|then| then <= state.now);
        let fresh = self.asked.is_none();
        let due = self.asked.is_some_and(|asked| !roster.sources.is_empty() && asked.elapsed() >= roster.refresh);
        (all || fresh || due || state.asked > state.done).then_some(Work { all, fresh })
    }

    async fn reconcile(&mut self, term: &LeaderTerm, state: &RosterState, work: Work) -> StoreResult<Ticked<Summary>> {
        let Some(force) = &self.force else { return Ok(Ticked::Done(Summary::default())) };
        let config = Arc::clone(&force.config);
        let (hash, revision) = (force.hash.clone(), force.revision);
        self.asked = Some(Instant::now());
        let started = Instant::now();
        let conditional = !work.all && !work.fresh;
        let Some(mut judged) = self.judge(term, &config, state, conditional).await? else {
            return Ok(Ticked::Untrusted);
        };
        let news = judged.iter().any(|judged| matches!(judged, Judged::New(..)));
        let mut found = None;
        if news || work.all || work.fresh {
            if judged.iter().any(|judged| matches!(judged, Judged::Same(None))) {
                // Who is left out by another source may be in one whose rows were not sent.
                match self.judge(term, &config, state, false).await? {
                    Some(again) => judged = again,
                    None => return Ok(Ticked::Untrusted),
                }
            }
            let again = self.refused.clone();
            let answers = judged.iter_mut().map(Judged::take).collect();
            let guide = Guide { config: Arc::clone(&config), hash, answers, all: work.all, again, now: state.now };
            match Pass::new(&self.store, term, &mut self.planner, &guide).run().await? {
                Ended::Done(done) => {
                    tell(&done, started.elapsed());
                    for ((known, judged), answer) in self.sources.iter_mut().zip(&mut judged).zip(guide.answers) {
                        judged.give_back(answer, known);
                    }
                    found = Some(done);
                }
                Ended::OtherConfig => {
                    self.seen = None;
                    return Ok(Ticked::Done(Summary::default()));
                }
                Ended::Untrusted => return Ok(Ticked::Untrusted),
                Ended::StaleTerm => return Ok(Ticked::StaleTerm),
            }
        }
        let pass = (work.all && found.is_some()).then_some(PassMark { config: revision, at: state.now });
        let summary = Summary {
            asked: true,
            put: found.as_ref().map_or(0, |f| f.put),
            left: found.as_ref().map_or(0, |f| f.left),
        };
        self.remember(&config.roster().sources, &judged, found);
        let sources: Vec<SourceRecord> = self.sources.iter().map(|known| known.record.clone()).collect();
        measure::roster(&sources, started.elapsed());
        if !term.trusted() {
            return Ok(Ticked::Untrusted);
        }
        let record = RosterRecord { sources, done: state.asked, pass };
        match self.store.record_sources(term.term(), &record).await? {
            Recorded::Done => Ok(Ticked::Done(summary)),
            Recorded::StaleTerm => Ok(Ticked::StaleTerm),
        }
    }

    /// Asks all sources at once and judges what they say. `None` if the term ends meanwhile.
    async fn judge(
        &self,
        term: &LeaderTerm,
        config: &Config,
        state: &RosterState,
        conditional: bool,
    ) -> StoreResult<Option<Vec<Judged>>> {
        let mut asking = JoinSet::new();
        for (place, (spec, known)) in config.roster().sources.iter().zip(&self.sources).enumerate() {
            let (client, spec, time) = (self.client.clone(), spec.clone(), self.time);
            let etag = known.etag.clone().filter(|_| conditional);
            asking.spawn(async move { (place, source::ask(&client, &spec, etag.as_deref(), time).await) });
        }
        let mut answers: Vec<Result<Asked, SourceError>> =
            self.sources.iter().map(|_| Err(SourceError::new("asking it broke down"))).collect();
        loop {
            tokio::select! {
                biased;
                () = term.token().cancelled() => return Ok(None),
                asked = asking.join_next() => match asked {
                    Some(Ok((place, asked))) => answers[place] = asked,
                    Some(Err(error)) => tracing::error!(%error, "asking a source broke down"),
                    None => break,
                }
            }
        }
        let mut judged: Vec<Judged> =
            answers.into_iter().zip(&self.sources).map(|(answer, known)| Judged::of(answer, known)).collect();
        if state.drop_allowed <= state.done {
            drops::hold(&self.store, config, &mut judged).await?;
        }
        Ok(Some(judged))
    }

    /// Takes note of how the sources stand, and tells what is new about it.
    fn remember(&mut self, specs: &[SourceSpec], judged: &[Judged], found: Option<Found>) {
        let mut parts = found.map(|found| {
            self.refused = found.refused;
            found.sources.into_iter()
        });
        for ((spec, known), judged) in specs.iter().zip(&mut self.sources).zip(judged) {
            if let Some(part) = parts.as_mut().and_then(Iterator::next) {
                known.record.tenants = part.tenants;
                known.refused = part.refused;
            }
            let record = SourceRecord {
                source: spec.name.clone(),
                tenants: known.record.tenants,
                refused: known.refused.count,
                refusals: known.refused.first.clone(),
                error: if let Judged::Failed(error) = judged { Some(error.to_string()) } else { None },
                held: if let Judged::Held(held) = judged { Some(*held) } else { None },
            };
            tell_change(&known.record, &record);
            known.record = record;
        }
    }
}

impl Drop for Reconciler {
    /// What a leader sees is not known to a follower.
    fn drop(&mut self) {
        self.sources.iter().for_each(|known| measure::roster_over(&known.record.source));
    }
}

impl Judged {
    fn of(asked: Result<Asked, SourceError>, known: &Known) -> Self {
        match asked {
            Err(error) => Self::Failed(error),
            Ok(Asked::Unchanged) => Self::Same(None),
            Ok(Asked::Answer(answer, _)) if known.hash == Some(answer.hash()) => Self::Same(Some(answer)),
            Ok(Asked::Answer(answer, etag)) => Self::New(answer, etag),
        }
    }

    /// The rows, if they are believed.
    fn take(&mut self) -> Option<Answer> {
        match self {
            Self::Same(answer) => answer.take(),
            Self::New(answer, _) => Some(std::mem::take(answer)),
            Self::Held(_) | Self::Failed(_) => None,
        }
    }

    /// After a pass with these rows: they are what the source says.
    fn give_back(&mut self, answer: Option<Answer>, known: &mut Known) {
        let Some(answer) = answer else { return };
        known.hash = Some(answer.hash());
        if let Self::New(_, etag) = self {
            known.etag = etag.take();
        }
    }
}

impl Service for Reconciler {
    const NAME: &'static str = "reconciler";
    type Summary = Summary;

    async fn tick(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        if !term.trusted() {
            return Ok(Ticked::Untrusted);
        }
        let state = self.store.roster_state().await?;
        self.load(&state).await?;
        let Some(work) = self.work(&state) else { return Ok(Ticked::Done(Summary::default())) };
        let result = self.reconcile(term, &state, work).await;
        self.not_before = None;
        if result.is_err() {
            self.asked = None;
            self.not_before = Some(Instant::now() + AFTER_FAILURE);
        }
        result
    }

    fn pause(&self, _: &Summary) -> Duration {
        LOOK
    }
}

/// What is written is told once a pass.
fn tell(found: &Found, took: Duration) {
    if found.put + found.left + found.jobs > 0 {
        let duration_ms = took.as_millis();
        tracing::info!(tenants = found.put, left = found.left, jobs = found.jobs, duration_ms, "reconciled tenants");
    }
}

/// A source that fails is told once, and so is its recovery.
fn tell_change(before: &SourceRecord, now: &SourceRecord) {
    let source = now.source.as_str();
    if let Some(error) = &now.error {
        measure::roster_failed(source);
        if before.error.is_none() {
            tracing::error!(source, error, "a source of tenants fails: its last tenants stay");
        }
    } else if let Some(held) = now.held {
        measure::roster_failed(source);
        if before.held.is_none() {
            let (gone, of) = (held.gone, held.of);
            tracing::error!(source, gone, of, "a source leaves out too many tenants to be believed: they stay");
        }
    } else if !before.is_good() {
        tracing::info!(source, tenants = now.tenants, "a source of tenants answers again");
    }
    if now.refused > before.refused {
        tracing::warn!(source, refused = now.refused, "tenants are refused: `leasehold roster` tells why");
    }
}
