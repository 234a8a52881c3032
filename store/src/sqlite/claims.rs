//! Claims: the head of the line, what of it starts, and what becomes of the rest.
//!
//! An item starts if nothing says that it must not, no run of its job stands in its way, and every gate of its job has
//! room; otherwise it ends, waits for the run, or waits at the gate.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::limit::GateId;
use leasehold_common::run::Outcome;
use leasehold_common::store::{ClaimId, ClaimRequest, Claimed, ClaimedRun, Lane, StoreResult};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::endings::{Unstarted, record_unstarted};
use super::gates::{Gates, needs, turn_away};
use super::overlaps::Contested;
use super::{SqliteStore, overlaps, rows};
use crate::clock::{span_of, us};
use crate::error::failed;
use crate::json::{batch, hex};

const OPERATION: &str = "claim work";

impl SqliteStore {
    pub(super) async fn claim_ready(&self, request: &ClaimRequest) -> StoreResult<Claimed> {
        let claim = Uuid::now_v7();
        let mut claimed = Claimed { claim, items: Vec::new(), dismissed: 0, ended: Vec::new() };
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let candidates = candidates(&mut write, request, now).await?;
        if candidates.is_empty() {
            return Ok(claimed);
        }
        let mut gates = Gates::read(&mut write, candidates.iter().flat_map(|c| c.needs.iter().copied()), now).await?;
        let entries = admit(&candidates, request.abilities.as_deref(), &mut gates);
        let started = start(&mut write, &candidates, &entries, claim, request.executor, now).await?;

        let mut left = Left::default();
        for (mut candidate, entry) in candidates.into_iter().zip(entries) {
            if let Some(begun_at) = started.get(&candidate.run.id) {
                candidate.run.age = span_of(now - begun_at);
                let probe = crate::is_probe(&gates.started(&candidate.needs));
                left.taken.push(candidate.place());
                claimed.items.push(ClaimedRun { probe, ..candidate.run });
            } else {
                gates.missed(&candidate.needs, entry.as_ref().err().copied());
                left.add(candidate, entry);
            }
        }
        claimed.dismissed = left.count();
        let freed = record_unstarted(&mut write, &left.dismissed, now).await?;
        let resolved = overlaps::resolve(&mut write, &left.contested, now).await?;
        claimed.ended = left.dismissed.iter().map(|run| run.outcome).chain(resolved.ended).collect();
        overlaps::take_ready(&mut write, &left.taken).await?;
        turn_away(&mut write, &left.turned_away).await?;
        let woken = gates.write(&mut write).await?;
        if !claimed.items.is_empty() {
            new_claim(&mut write, claim, request, now).await?;
        }
        write.commit().await.map_err(failed(OPERATION))?;
        if freed + resolved.promoted + woken > 0 {
            self.hint();
        }
        Ok(claimed)
    }
}

/// The head of the line, of each queue in turn.
async fn candidates(
    write: &mut Transaction<'static, Sqlite>,
    request: &ClaimRequest,
    now: i64,
) -> StoreResult<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for queue in crate::by_chance(&request.queues) {
        let room = request.limit.saturating_sub(u32::try_from(candidates.len()).unwrap_or(u32::MAX));
        if room == 0 {
            break;
        }
        candidates.extend(head(write, Some(queue), None, request, room, now).await?);
    }
    let needed = needed(write, request).await?;
    for need in &needed {
        candidates.extend(head(write, None, Some(*need), request, request.limit, now).await?);
    }
    if !needed.is_empty() {
        candidates.sort_by_key(|candidate| (candidate.run.lane.priority, candidate.run.tag));
        candidates.truncate(request.limit as usize);
    }
    Ok(candidates)
}

/// What items wait for that this executor can do.
async fn needed(write: &mut Transaction<'static, Sqlite>, request: &ClaimRequest) -> StoreResult<Vec<i64>> {
    let Some(abilities) = &request.abilities else { return Ok(Vec::new()) };
    let needed: Vec<i64> =
        sqlx::query_scalar(sql!("queue/needed")).fetch_all(&mut **write).await.map_err(failed(OPERATION))?;
    Ok(needed.into_iter().filter(|need| abilities.contains(&GateId::from_i64(*need))).collect())
}

/// The head of a queue, or of what waits for an executor that can do something.
async fn head(
    write: &mut Transaction<'static, Sqlite>,
    queue: Option<&str>,
    need: Option<i64>,
    request: &ClaimRequest,
    limit: u32,
    now: i64,
) -> StoreResult<Vec<Candidate>> {
    let rows = sqlx::query(sql!("queue/candidates"))
        .bind(queue)
        .bind(now)
        .bind(limit)
        .bind(need)
        .bind(batch(&request.queues))
        .fetch_all(&mut **write)
        .await
        .map_err(failed(OPERATION))?;
    rows.iter().map(Candidate::read).collect()
}

async fn new_claim(
    write: &mut Transaction<'static, Sqlite>,
    claim: ClaimId,
    request: &ClaimRequest,
    now: i64,
) -> StoreResult<()> {
    sqlx::query(sql!("queue/new_claim"))
        .bind(claim)
        .bind(request.executor)
        .bind(now.saturating_add(us(request.ttl)))
        .execute(&mut **write)
        .await
        .map_err(failed(OPERATION))?;
    Ok(())
}

/// Whether an item may start: the gates that it passes, as the store keeps them, or the one that has no room.
type Entry = Result<Option<String>, i64>;

/// Lets candidates in, in the order of the line. One that will not start takes no room.
fn admit(candidates: &[Candidate], abilities: Option<&[GateId]>, gates: &mut Gates) -> Vec<Entry> {
    let mut busy = HashSet::new();
    candidates
        .iter()
        .map(|candidate| {
            if let Some(need) = candidate.lacks(abilities) {
                return Err(need);
            }
            let alone = candidate.overlap != ALLOW && candidate.is_first_attempt();
            if candidate.needs.is_empty() || candidate.dismissal.is_some() || (alone && busy.contains(&candidate.key)) {
                return Ok(None);
            }
            let entry = gates.admit(&candidate.needs);
            if alone && entry.is_ok() {
                busy.insert(candidate.key);
            }
            entry
        })
        .collect()
}

/// Marks those candidates as running that may run; answers when the first attempt of each started.
async fn start(
    write: &mut Transaction<'static, Sqlite>,
    candidates: &[Candidate],
    entries: &[Entry],
    claim: ClaimId,
    executor: Uuid,
    now: i64,
) -> StoreResult<HashMap<CorrelationId, i64>> {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for (candidate, entry) in candidates.iter().zip(entries) {
        let Ok(passed) = entry else { continue };
        let (key, id) = candidate.place();
        match (candidate.dismissal, candidate.is_first_attempt()) {
            (Some(_), _) => {}
            (None, true) => first.push((key, id, passed)),
            (None, false) => again.push((id, passed)),
        }
    }
    let mut started = HashMap::new();
    for (rows, statement) in [(batch(&first), sql!("queue/start")), (batch(&again), sql!("queue/restart"))] {
        let ids: Vec<(Uuid, i64)> = sqlx::query_as(statement)
            .bind(rows)
            .bind(claim)
            .bind(executor)
            .bind(now)
            .fetch_all(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
        started.extend(ids.into_iter().map(|(id, begun_at)| (CorrelationId::from_uuid(id), begun_at)));
    }
    Ok(started)
}

/// What becomes of the candidates.
#[derive(Default)]
struct Left {
    /// These leave `ready`: key, id.
    taken: Vec<(i64, String)>,
    dismissed: Vec<Unstarted>,
    contested: Vec<Contested>,
    /// These wait for room: key, id, gate.
    turned_away: Vec<(i64, String, i64)>,
}

impl Left {
    /// A candidate that has not started.
    fn add(&mut self, candidate: Candidate, entry: Entry) {
        let (key, id) = candidate.place();
        if let Err(gate) = entry {
            return self.turned_away.push((key, id, gate));
        }
        self.taken.push((key, id));
        match candidate.outcome_if_not_started() {
            Some(Outcome::Overlapped) => self.contested.push(candidate.contested()),
            Some(outcome) => self.dismissed.push(candidate.dismiss(outcome)),
            None => {}
        }
    }

    fn count(&self) -> u64 {
        (self.dismissed.len() + self.contested.len() + self.turned_away.len()) as u64
    }
}

/// The code of [`leasehold_common::definition::Overlap::Allow`].
const ALLOW: i16 = 1;

/// An item at the head of the line.
struct Candidate {
    run: ClaimedRun,
    key: i64,
    /// Why it must not run.
    dismissal: Option<Outcome>,
    /// Whether it holds the job's interval token.
    token: bool,
    overlap: i16,
    catch_up: i16,
    /// How many items of the job may wait for its run.
    buffer: u32,
    /// The gates of its job, in order.
    needs: Vec<i64>,
}

impl Candidate {
    fn read(row: &SqliteRow) -> StoreResult<Self> {
        let (attempt, released) = (rows::count(row, 8)?, rows::count(row, 9)?);
        Ok(Self {
            key: rows::get(row, 0)?,
            run: ClaimedRun {
                id: rows::id(row, 1)?,
                tenant: rows::name::<TenantId>(row, 2)?,
                tenant_revision: rows::get::<Option<i64>>(row, 15)?.unwrap_or(0),
                job: rows::name::<JobName>(row, 13)?,
                definition: rows::definition_id(row, 14)?,
                cause: rows::cause(row, 5)?,
                scheduled_for: rows::at(row, 6)?,
                attempt: attempt + 1,
                released,
                age: Duration::ZERO,
                lane: Lane { queue: rows::name(row, 3)?, priority: rows::get(row, 4)? },
                tag: rows::get(row, 20)?,
                cost: span_of(rows::get(row, 21)?),
                probe: false,
            },
            dismissal: rows::get::<Option<i16>>(row, 16)?.and_then(Outcome::from_code),
            token: rows::get::<Option<i64>>(row, 12)?.is_some(),
            overlap: rows::get(row, 7)?,
            catch_up: rows::get(row, 17)?,
            buffer: rows::count(row, 19)?,
            needs: needs(row, 22)?,
        })
    }

    /// What it needs that the executor cannot do, if nothing else says that it must not run.
    fn lacks(&self, abilities: Option<&[GateId]>) -> Option<i64> {
        let abilities = abilities.filter(|_| matches!(self.dismissal, None | Some(Outcome::Overlapped)))?;
        let lacks = |gate: GateId| gate.is_need() && !abilities.contains(&gate);
        self.needs.iter().copied().find(|gate| lacks(GateId::from_i64(*gate)))
    }

    /// Key and id.
    fn place(&self) -> (i64, String) {
        (self.key, hex(self.run.id.as_uuid()))
    }

    fn is_first_attempt(&self) -> bool {
        self.run.attempt == 1
    }

    /// What becomes of it if it could not be started. A first attempt lost against a run of the same job in the
    /// same batch. A retry whose row in `running` is gone has ended otherwise: nothing is left to say about it.
    fn outcome_if_not_started(&self) -> Option<Outcome> {
        self.dismissal.or(self.is_first_attempt().then_some(Outcome::Overlapped))
    }

    fn dismiss(&self, outcome: Outcome) -> Unstarted {
        Unstarted {
            id: self.run.id,
            key: self.key,
            tenant: self.run.tenant.clone(),
            cause: self.run.cause,
            due: self.run.scheduled_for.as_microsecond(),
            attempt: self.run.attempt - 1,
            outcome,
            // A void item's token was replaced when its schedule changed.
            token: self.token && !matches!(outcome, Outcome::Cancelled | Outcome::Superseded),
            error: crate::dismissal_reason(outcome),
        }
    }

    fn contested(self) -> Contested {
        Contested {
            id: self.run.id,
            key: self.key,
            tenant: self.run.tenant,
            cause: self.run.cause,
            due: self.run.scheduled_for.as_microsecond(),
            overlap: self.overlap,
            catch_up: self.catch_up,
            buffer: self.buffer,
            token: self.token,
        }
    }
}
