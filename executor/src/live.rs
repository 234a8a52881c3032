//! What this executor holds right now: its claims, the runs under them, and its slots.
//!
//! The claimer puts a claim in, the runner takes its runs out, the reporter closes it, and the heartbeat keeps it or
//! declares it lost. Nothing here talks to the store.
//!
//! Invariants: a slot is taken from the claim until the runner is done with the run, whatever happens to the claim;
//! a claim is extended until all its reports are recorded; a lost claim's runs are told at once, and whatever they
//! do afterwards is stale by the store's own guard (invariant I6).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use leasehold_common::clock::{BootClock, BootInstant};
use leasehold_common::id::CorrelationId;
use leasehold_common::store::{ClaimId, Extended};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why a run was told to stop. The first reason stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// Somebody asked for it.
    Cancelled,
    /// The executor shuts down.
    Drained,
}

/// The part of one run that others may touch.
#[derive(Debug, Default)]
struct Switch {
    stop: CancellationToken,
    cause: OnceLock<StopCause>,
}

impl Switch {
    fn stop(&self, cause: StopCause) {
        // Losing the race against an earlier reason is fine: that one stands.
        let _ = self.cause.set(cause);
        self.stop.cancel();
    }
}

#[derive(Debug)]
struct Claim {
    /// Until when this executor may act on the claim without hearing from the store.
    trusted_until: BootInstant,
    lost: CancellationToken,
    running: HashMap<CorrelationId, Arc<Switch>>,
    /// Runs whose reports are not recorded yet.
    open: usize,
    /// The settle that drops it is under way: not finding it in the store is no loss.
    closing: bool,
}

/// Claims, runs and slots. See the module.
#[derive(Debug)]
pub(crate) struct Live {
    clock: BootClock,
    slots: usize,
    /// How long a claim is trusted after the request that made or extended it was sent.
    trust: Duration,
    busy: AtomicUsize,
    unsettled: AtomicUsize,
    claims: Mutex<HashMap<ClaimId, Claim>>,
    /// Told whenever a slot or room for a report becomes free.
    freed: Notify,
}

/// Reports that may wait for the store before this executor claims no more.
const BACKLOG: usize = 2_000;

impl Live {
    pub(crate) fn new(clock: BootClock, slots: usize, claim_ttl: Duration) -> Self {
        Self {
            clock,
            slots,
            trust: claim_ttl.saturating_sub(margin(claim_ttl)),
            busy: AtomicUsize::new(0),
            unsettled: AtomicUsize::new(0),
            claims: Mutex::default(),
            freed: Notify::new(),
        }
    }

    pub(crate) fn clock(&self) -> &BootClock {
        &self.clock
    }

    /// How many runs may be claimed now. Nothing while too many reports wait for the store: they would pile up.
    pub(crate) fn free(&self) -> usize {
        if self.unsettled.load(Ordering::Relaxed) > self.slots + BACKLOG {
            return 0;
        }
        self.slots.saturating_sub(self.busy())
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    /// Reports that wait for the store.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Takes in a claim: a ticket for each of its runs, in their order.
    pub(crate) fn admit(
        self: &Arc<Self>,
        id: ClaimId,
        sent: BootInstant,
        runs: impl ExactSizeIterator<Item = CorrelationId>,
    ) -> Vec<Ticket> {
        let lost = CancellationToken::new();
        let open = runs.len();
        let mut running = HashMap::with_capacity(open);
        let mut tickets = Vec::with_capacity(open);
        self.busy.fetch_add(open, Ordering::Relaxed);
        for run in runs {
            let switch = Arc::new(Switch::default());
            running.insert(run, Arc::clone(&switch));
            tickets.push(Ticket { live: Arc::clone(self), claim: id, run, switch, lost: lost.clone() });
        }
        let claim = Claim { trusted_until: sent.after(self.trust), lost, running, open, closing: false };
        self.claims().insert(id, claim);
        tickets
    }

    /// The claims to extend.
    pub(crate) fn claim_ids(&self) -> Vec<ClaimId> {
        self.claims().keys().copied().collect()
    }

    /// Takes in the answer to a heartbeat that asked for `asked` at `sent`. Answers the claims that are lost.
    pub(crate) fn extended(&self, asked: &[ClaimId], answer: &Extended, sent: BootInstant) -> Vec<ClaimId> {
        let mut claims = self.claims();
        for id in &answer.alive {
            if let Some(claim) = claims.get_mut(id) {
                claim.trusted_until = claim.trusted_until.max(sent.after(self.trust));
            }
        }
        for run in &answer.cancel {
            for claim in claims.values() {
                if let Some(switch) = claim.running.get(run) {
                    switch.stop(StopCause::Cancelled);
                }
            }
        }
        let alive: std::collections::HashSet<_> = answer.alive.iter().collect();
        let gone = |id: &&ClaimId| !alive.contains(id) && claims.get(*id).is_some_and(|claim| !claim.closing);
        let lost: Vec<ClaimId> = asked.iter().filter(gone).copied().collect();
        for id in &lost {
            lose(&mut claims, *id);
        }
        lost
    }

    /// Gives up the claims that the store has not confirmed in time. Answers them, and how long the next one is
    /// still trusted.
    pub(crate) fn expire(&self) -> (Vec<ClaimId>, Option<Duration>) {
        let now = self.clock.now();
        let mut claims = self.claims();
        let lost: Vec<ClaimId> =
            claims.iter().filter(|(_, claim)| claim.trusted_until <= now).map(|(id, _)| *id).collect();
        for id in &lost {
            lose(&mut claims, *id);
        }
        (lost, claims.values().map(|claim| now.until(claim.trusted_until)).min())
    }

    /// Gives up one claim, so that it is no longer extended and the leader rescues what is left of it.
    pub(crate) fn abandon(&self, id: ClaimId) {
        lose(&mut self.claims(), id);
    }

    /// Whether the claim stands, as far as this executor knows.
    pub(crate) fn holds(&self, id: ClaimId) -> bool {
        self.claims().contains_key(&id)
    }

    /// Tells every run to stop.
    pub(crate) fn stop_all(&self, cause: StopCause) {
        for claim in self.claims().values() {
            for switch in claim.running.values() {
                switch.stop(cause);
            }
        }
    }

    /// The claims that will have no open run once so many reports of each are recorded.
    pub(crate) fn closing(&self, reports: &HashMap<ClaimId, usize>) -> Vec<ClaimId> {
        let mut claims = self.claims();
        let mut finished = Vec::new();
        for (id, count) in reports {
            if let Some(claim) = claims.get_mut(id).filter(|claim| claim.open == *count) {
                claim.closing = true;
                finished.push(*id);
            }
        }
        finished
    }

    /// Takes note that so many reports of each claim were answered.
    pub(crate) fn settled(&self, reports: &HashMap<ClaimId, usize>) {
        let mut claims = self.claims();
        for (id, count) in reports {
            let Some(claim) = claims.get_mut(id) else { continue };
            claim.open = claim.open.saturating_sub(*count);
            if claim.open == 0 {
                claims.remove(id);
            }
        }
        drop(claims);
        self.unsettled.fetch_sub(reports.values().sum(), Ordering::Relaxed);
        self.freed.notify_one();
    }

    /// Takes note that a report waits for the store.
    pub(crate) fn reported(&self) {
        self.unsettled.fetch_add(1, Ordering::Relaxed);
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<ClaimId, Claim>> {
        // No code that can panic runs under the lock; if it did, the map would still be whole.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lose(claims: &mut HashMap<ClaimId, Claim>, id: ClaimId) {
    if let Some(claim) = claims.remove(&id) {
        claim.lost.cancel();
    }
}

/// The part of a claim's time that is not trusted: it covers the difference in speed between two clocks and the time
/// that ending the runs takes.
fn margin(claim_ttl: Duration) -> Duration {
    claim_ttl / 6
}

/// One run's place: holds its slot until dropped, and hears when the run must stop.
#[derive(Debug)]
pub(crate) struct Ticket {
    live: Arc<Live>,
    claim: ClaimId,
    run: CorrelationId,
    switch: Arc<Switch>,
    lost: CancellationToken,
}

impl Ticket {
    pub(crate) fn claim(&self) -> ClaimId {
        self.claim
    }

    /// A token for the handler: cancelled when the run must stop, and what the handler does to it goes no further.
    pub(crate) fn token(&self) -> CancellationToken {
        self.switch.stop.child_token()
    }

    /// Waits until the run must stop in an orderly way. Never resolves otherwise.
    pub(crate) async fn stopped(&self) -> StopCause {
        self.switch.stop.cancelled().await;
        // The cause is set before the token is cancelled.
        self.cause().unwrap_or(StopCause::Drained)
    }

    /// Why the run was told to stop, if it was.
    pub(crate) fn cause(&self) -> Option<StopCause> {
        self.switch.cause.get().copied()
    }

    /// Whether the claim is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Waits until the claim is lost. Never resolves otherwise.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(claim) = self.live.claims().get_mut(&self.claim) {
            claim.running.remove(&self.run);
        }
        self.live.busy.fetch_sub(1, Ordering::Relaxed);
        self.live.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn run(n: u128) -> CorrelationId {
        CorrelationId::from_uuid(Uuid::from_u128(n))
    }

    fn live() -> Arc<Live> {
        Arc::new(Live::new(BootClock::manual(), 4, Duration::from_secs(30)))
    }

    fn admit(live: &Arc<Live>, claim: u128, runs: &[u128]) -> (ClaimId, Vec<Ticket>) {
        let id = Uuid::from_u128(claim);
        (id, live.admit(id, live.clock().now(), runs.iter().map(|n| run(*n))))
    }

    #[test]
    fn a_slot_is_taken_until_the_ticket_is_dropped() {
        let live = live();
        let (_, mut tickets) = admit(&live, 1, &[1, 2, 3]);
        assert_eq!((live.free(), live.busy()), (1, 3));
        tickets.pop();
        assert_eq!(live.free(), 2);
    }

    #[test]
    fn a_claim_is_trusted_from_before_the_request_and_no_longer_than_its_ttl_less_the_margin() {
        let live = live();
        let sent = live.clock().now();
        live.clock().advance(Duration::from_secs(4));
        let tickets = live.admit(Uuid::from_u128(1), sent, [run(1)].into_iter());
        assert_eq!(live.expire(), (vec![], Some(Duration::from_secs(21))));
        live.clock().advance(Duration::from_secs(21));
        assert_eq!(live.expire(), (vec![Uuid::from_u128(1)], None));
        assert!(tickets[0].lost.is_cancelled());
        assert_eq!(live.busy(), 1, "the slot is free when the runner says so, not before");
    }

    #[test]
    fn what_a_heartbeat_does_not_confirm_is_lost_and_the_rest_is_trusted_anew() {
        let live = live();
        let (kept, kept_tickets) = admit(&live, 1, &[1]);
        let (gone, gone_tickets) = admit(&live, 2, &[2]);
        live.clock().advance(Duration::from_secs(10));
        let answer = Extended { alive: vec![kept], cancel: vec![run(1)] };
        assert_eq!(live.extended(&[kept, gone], &answer, live.clock().now()), [gone]);
        assert!(gone_tickets[0].lost.is_cancelled() && !kept_tickets[0].lost.is_cancelled());
        assert!(kept_tickets[0].token().is_cancelled());
        assert_eq!(live.expire().1, Some(Duration::from_secs(25)));
    }

    #[test]
    fn a_claim_that_is_being_dropped_is_not_lost_when_the_store_no_longer_has_it() {
        let live = live();
        let (id, tickets) = admit(&live, 1, &[1, 2]);
        let all = HashMap::from([(id, 2)]);
        assert!(live.closing(&HashMap::from([(id, 1)])).is_empty());
        assert_eq!(live.closing(&all), [id]);
        assert!(live.extended(&[id], &Extended::default(), live.clock().now()).is_empty());
        drop(tickets);
        live.reported();
        live.reported();
        live.settled(&all);
        assert_eq!((live.claim_ids(), live.unsettled(), live.free()), (vec![], 0, 4));
    }

    #[test]
    fn a_run_that_comes_back_under_a_new_claim_is_not_touched_by_the_old_ticket() {
        let live = live();
        let (old, old_tickets) = admit(&live, 1, &[7]);
        live.abandon(old);
        let (new, new_tickets) = admit(&live, 2, &[7]);
        drop(old_tickets);
        live.extended(&[new], &Extended { alive: vec![new], cancel: vec![run(7)] }, live.clock().now());
        assert!(new_tickets[0].token().is_cancelled());
    }

    #[test]
    fn nothing_is_claimed_while_reports_pile_up() {
        let live = live();
        for _ in 0..=(4 + BACKLOG) {
            live.reported();
        }
        assert_eq!(live.free(), 0);
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_stands() {
        let live = live();
        let (id, tickets) = admit(&live, 1, &[1]);
        live.extended(&[id], &Extended { alive: vec![id], cancel: vec![run(1)] }, live.clock().now());
        live.stop_all(StopCause::Drained);
        assert_eq!(tickets[0].stopped().await, StopCause::Cancelled);
    }
}
