//! One pass: compares what the config and its sources say with the tenants of the store, and writes the difference.
//!
//! The tenants of the store come in pages by id, and beside them go the ids of the file and of each answer. What is
//! different is collected and written in batches, each a plan of its own under the term and the catalog's revision.
//!
//! Invariants: a tenant belongs to the first that names it, the file before the sources and these in their order; a
//! source without an answer keeps its tenants; a tenant whose values do not fit keeps what it has; a batch is written
//! only while the config that it was made from is in force.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::catalog::{CatalogSnapshot, Desired, Member};
use leasehold_common::config::Config;
use leasehold_common::definition::Tenant;
use leasehold_common::id::TenantId;
use leasehold_common::roster::{OnLeave, Refusal};
use leasehold_common::store::{Applied, ErrorKind, SharedStore, StoreError, StoreResult};

use super::answer::{self, Answer, Refused};
use super::planning::Planner;
use crate::term::LeaderTerm;

/// Tenants of a page of the store.
const PAGE: u32 = 2_000;

/// Tenants of a batch.
const BATCH: usize = 1_000;

/// So often a batch is planned again if somebody else changes the catalog meanwhile.
const TRIES: u32 = 20;

/// What a pass goes by.
pub(super) struct Guide {
    /// The config in force.
    pub(super) config: Arc<Config>,
    /// Its hash.
    pub(super) hash: String,
    /// The answer of each source, in their order; `None`: it has given none that can be used.
    pub(super) answers: Vec<Option<Answer>>,
    /// Whether what is the same as before is looked at too, since the config or the time has changed.
    pub(super) all: bool,
    /// Tenants that are looked at again in any case.
    pub(super) again: HashSet<TenantId>,
    /// The instant for which the config is read.
    pub(super) now: Timestamp,
}

/// What a pass found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// For each source, in their order.
    pub(super) sources: Vec<Part>,
    /// Tenants that were refused, whoever named them.
    pub(super) refused: HashSet<TenantId>,
    /// Tenants that came or changed, and that went.
    pub(super) put: u64,
    /// Tenants that went.
    pub(super) left: u64,
    /// Jobs that were added, changed or removed.
    pub(super) jobs: u64,
}

/// What a pass found of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// How many tenants are taken from it.
    pub(super) tenants: u64,
    /// Those that cannot be used.
    pub(super) refused: Refused,
}

/// How a pass ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// All is written.
    Done(Found),
    /// Another config came into force.
    OtherConfig,
    /// The term may not be acted upon.
    Untrusted,
    /// The store refused a write because the term is over.
    StaleTerm,
}

/// A pass under way.
pub(super) struct Pass<'a> {
    store: &'a SharedStore,
    term: &'a LeaderTerm,
    planner: &'a mut Planner,
    guide: &'a Guide,
    names: Vec<&'a str>,
    file: BTreeMap<&'a str, &'a Tenant>,
    found: Found,
    batch: Batch,
}

#[derive(Default)]
struct Batch {
    put: Vec<Member>,
    leave: Vec<TenantId>,
}

/// Who names a tenant.
enum Origin<'a> {
    File(&'a Tenant),
    /// The source at this place, with its row.
    Row(usize, &'a str),
    /// The source at this place did, when it last gave an answer.
    Kept(usize),
    Nobody,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        store: &'a SharedStore,
        term: &'a LeaderTerm,
        planner: &'a mut Planner,
        guide: &'a Guide,
    ) -> Self {
        let names: Vec<&str> = guide.config.roster().sources.iter().map(|source| source.name.as_str()).collect();
        let parts = guide.answers.iter().map(|answer| Part {
            tenants: 0,
            refused: answer.as_ref().map(|answer| answer.refused.clone()).unwrap_or_default(),
        });
        let found = Found { sources: parts.collect(), ..Found::default() };
        let file = guide.config.tenants().iter().map(|tenant| (tenant.id.as_str(), tenant)).collect();
        Self { store, term, planner, guide, names, file, found, batch: Batch::default() }
    }

    /// Goes through all tenants.
    pub(super) async fn run(mut self) -> StoreResult<Ended> {
        let mut after: Option<TenantId> = None;
        loop {
            if !self.term.trusted() {
                return Ok(Ended::Untrusted);
            }
            let page = self.store.tenants(after.as_ref(), PAGE).await?;
            let to = (page.len() >= PAGE as usize).then(|| page.last().map(|member| member.id.clone())).flatten();
            let stored: BTreeMap<&str, &Member> = page.iter().map(|member| (member.id.as_str(), member)).collect();
            for id in self.ids(&stored, after.as_ref(), to.as_ref()) {
                self.look_at(id, stored.get(id).copied());
                if self.batch.put.len() + self.batch.leave.len() >= BATCH
                    && let Some(end) = self.flush().await?
                {
                    return Ok(end);
                }
            }
            after = to;
            if after.is_none() {
                let end = self.flush().await?;
                return Ok(end.unwrap_or(Ended::Done(self.found)));
            }
        }
    }

    /// Every id between two, whoever names it.
    fn ids<'s>(
        &self,
        stored: &BTreeMap<&'s str, &Member>,
        after: Option<&TenantId>,
        to: Option<&TenantId>,
    ) -> BTreeSet<&'s str>
    where
        'a: 's,
    {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
        let to = to.map_or(Bound::Unbounded, |id| Bound::Included(id.as_str()));
        let mut ids: BTreeSet<&'s str> = stored.keys().copied().collect();
        ids.extend(self.file.range::<str, _>((from, to)).map(|(id, _)| *id));
        let guide: &'a Guide = self.guide;
        for answer in guide.answers.iter().flatten() {
            ids.extend(answer.rows.range::<str, _>((from, to)).map(|(id, _)| id.as_str()));
        }
        ids
    }

    fn origin(&self, id: &str, stored: Option<&Member>) -> Origin<'a> {
        if let Some(tenant) = self.file.get(id) {
            return Origin::File(tenant);
        }
        let guide: &'a Guide = self.guide;
        for (place, answer) in guide.answers.iter().enumerate() {
            match answer {
                Some(answer) => {
                    if let Some(row) = answer.rows.get(id) {
                        return Origin::Row(place, row);
                    }
                }
                None if stored.is_some_and(|member| member.source == self.names[place]) => return Origin::Kept(place),
                None => {}
            }
        }
        Origin::Nobody
    }

    /// Decides what becomes of a tenant.
    fn look_at(&mut self, id: &str, stored: Option<&Member>) {
        let anyway = self.guide.all || stored.is_some_and(|member| self.guide.again.contains(&member.id));
        match self.origin(id, stored) {
            Origin::File(tenant) => {
                let member = Member::from(tenant.clone());
                if anyway || stored != Some(&member) {
                    self.batch.put.push(member);
                }
            }
            Origin::Row(place, row) => {
                let same = |member: &Member| member.source == self.names[place] && member.row.as_deref() == Some(row);
                if !anyway && stored.is_some_and(same) {
                    self.found.sources[place].tenants += 1;
                } else {
                    self.admit(place, row, stored, anyway);
                }
            }
            Origin::Kept(place) => match stored {
                Some(member) if self.guide.all => {
                    self.admit(place, member.row.as_deref().unwrap_or_default(), stored, anyway);
                }
                _ => self.found.sources[place].tenants += 1,
            },
            Origin::Nobody => self.batch.leave.extend(stored.map(|member| member.id.clone())),
        }
    }

    /// Makes a tenant of what a source says. One that is refused keeps what it has, if it is there.
    fn admit(&mut self, place: usize, row: &str, stored: Option<&Member>, anyway: bool) {
        match self.guide.config.admit(self.names[place], &answer::row(row)) {
            Ok(member) => {
                self.found.sources[place].tenants += 1;
                self.batch.put.push(Member { row: Some(row.to_owned()), ..member });
            }
            Err(refusal) => {
                self.found.sources[place].refused.add(refusal);
                let Some(member) = stored else { return };
                self.found.refused.insert(member.id.clone());
                self.count(member);
                if anyway {
                    self.batch.put.push(member.clone());
                }
            }
        }
    }

    /// Counts a tenant where it is kept.
    fn count(&mut self, member: &Member) {
        if let Some(place) = self.place(&member.source) {
            self.found.sources[place].tenants += 1;
        }
    }

    fn place(&self, source: &str) -> Option<usize> {
        self.names.iter().position(|name| *name == source)
    }

    /// Writes what was collected. Answers the end of the pass if it ends here.
    async fn flush(&mut self) -> StoreResult<Option<Ended>> {
        let Batch { put, leave } = std::mem::take(&mut self.batch);
        if put.is_empty() && leave.is_empty() {
            return Ok(None);
        }
        let ids: Vec<TenantId> = put.iter().map(|member| member.id.clone()).chain(leave).collect();
        let (config, now) = (Arc::clone(&self.guide.config), self.guide.now);
        let work = move || {
            let jobs = config.jobs_for(&put, now);
            (put, jobs)
        };
        let broken = |error| StoreError::new(ErrorKind::Unavailable, "work out the jobs of tenants", error);
        let (mut members, mut jobs) = tokio::task::spawn_blocking(work).await.map_err(broken)?;
        let mut new = Vec::new();
        for refusal in &jobs.refused {
            new.extend(self.refuse(&mut members, refusal));
        }
        let (jobs, refused) = (std::mem::take(&mut jobs.jobs), std::mem::take(&mut jobs.refused));
        let desired = Desired { tenants: members, jobs, refused, ..Desired::default() };
        self.write(ids, desired, new).await
    }

    /// A tenant for which a job does not fit stays as it is.
    fn refuse(&mut self, members: &mut Vec<Member>, refusal: &Refusal) -> Option<Member> {
        let member = members.remove(members.iter().position(|member| member.id.as_str() == refusal.tenant)?);
        tracing::debug!(tenant.id = %member.id, reason = refusal.reason, "a tenant is refused");
        if let Some(place) = self.place(&member.source) {
            self.found.sources[place].refused.add(refusal.clone());
        }
        self.found.refused.insert(member.id.clone());
        Some(member)
    }

    /// Who was refused before it ever was a tenant is none of its source.
    fn discount(&mut self, refused: &[Member], stored: &CatalogSnapshot) {
        let known: HashSet<&TenantId> = stored.tenants.iter().map(|member| &member.id).collect();
        for member in refused.iter().filter(|member| !known.contains(&member.id)) {
            if let Some(place) = self.place(&member.source) {
                self.found.sources[place].tenants = self.found.sources[place].tenants.saturating_sub(1);
            }
        }
    }

    async fn write(
        &mut self,
        ids: Vec<TenantId>,
        mut desired: Desired,
        refused: Vec<Member>,
    ) -> StoreResult<Option<Ended>> {
        let mut refused = Some(refused);
        for _ in 0..TRIES {
            let stored = self.store.snapshot_of(&ids).await?;
            if stored.config.as_ref() != Some(&self.guide.hash) {
                return Ok(Some(Ended::OtherConfig));
            }
            if let Some(refused) = refused.take() {
                self.discount(&refused, &stored);
            }
            desired.recovery = stored.recovery; // the whole catalog's, no matter of a batch
            let (wanted, stored) = (Arc::new(desired), Arc::new(stored));
            let planned = self.planner.plan(&**self.store, Arc::clone(&wanted), stored).await?;
            desired = Arc::unwrap_or_clone(wanted);
            let mut plan = match planned {
                Ok(plan) => plan,
                Err(error) => {
                    // Whatever the config lets through compiles; should one not, it is one tenant's trouble.
                    tracing::warn!(%error, "a tenant is refused");
                    let id = error.tenant().clone();
                    desired.tenants.retain(|member| member.id != id);
                    desired.jobs.retain(|job| job.tenant != id);
                    let (tenant, reason) = (id.to_string(), error.to_string());
                    desired.refused.push(Refusal { source: String::new(), tenant, reason });
                    continue;
                }
            };
            if self.guide.config.roster().on_leave == OnLeave::Cancel {
                plan.stop_leaving();
            }
            if plan.is_empty() {
                return Ok(None);
            }
            if !self.term.trusted() {
                return Ok(Some(Ended::Untrusted));
            }
            match self.store.apply(&plan, Some(self.term.term())).await? {
                Applied::Done { .. } => {
                    self.found.put += plan.put_tenants.len() as u64;
                    self.found.left += plan.remove_tenants.len() as u64;
                    let (added, changed, removed) = plan.job_counts();
                    self.found.jobs += (added + changed + removed) as u64;
                    return Ok(None);
                }
                Applied::StaleTerm => return Ok(Some(Ended::StaleTerm)),
                Applied::Conflict => tokio::time::sleep(Duration::from_millis(rand::random_range(10..=200))).await,
            }
        }
        Err(StoreError::new(ErrorKind::Conflict, "reconcile tenants", "the catalog keeps changing"))
    }
}
