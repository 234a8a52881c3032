//! The methods of the traits of the store, once, for stores that stand in front of others.

/// Calls the macro `with` once for each trait but `Store` itself: `with!(Trait: name(parameter: Type, …) -> Answer; …);`.
/// The types are looked up where it is called.
macro_rules! each_trait {
    ($with:ident) => {
        $with!(Lease:
            acquire(candidate: &Candidate, ttl: Duration) -> Acquired;
            renew(term: &Term, ttl: Duration) -> Renewal;
            resign(term: &Term) -> ();
        );
        $with!(Schedules:
            due(set: DueSet, within: Duration, limit: u32) -> DueBatch;
            dispatch(term: &Term, launches: &[Launch]) -> Dispatched;
            definitions(ids: &[DefinitionId]) -> Vec<(DefinitionId, String)>;
            sweep(term: &Term, limit: u32) -> Swept;
            rescue(term: &Term, limit: u32) -> Rescued;
            prune(term: &Term, keep: Duration, limit: u32) -> Pruned;
        );
        $with!(Queue:
            activate(limit: u32) -> Activated;
            claim(request: &ClaimRequest) -> Claimed;
            extend(executor: Uuid, claims: &[ClaimId], ttl: Duration) -> Extended;
            settle(executor: Uuid, reports: &[AttemptReport], finished: &[ClaimId]) -> Vec<Settled>;
            charge(charges: &[Charge], served: &[Served]) -> ();
            queues() -> Vec<QueueDepth>;
            announce(info: &ExecutorInfo) -> ();
            retire(executor: Uuid) -> ();
            payloads(runs: &[CorrelationId]) -> Vec<(CorrelationId, String)>;
            begin_once(key: &OnceKey) -> OnceBegun;
            finish_once(key: &OnceKey, result: &str) -> bool;
            tenants_by_id(ids: &[TenantId]) -> Vec<(Tenant, i64)>;
        );
        $with!(Breakers:
            endpoint_failed(failure: &EndpointFailure) -> bool;
            close_breaker(endpoint: &str) -> bool;
            breakers() -> Vec<BreakerView>;
        );
        $with!(Callbacks:
            expect(tokens: &[(Attempt, TokenHash)]) -> Vec<Attempt>;
            open(openings: &[Opening]) -> Vec<Settled>;
            callback(id: CorrelationId, token: &TokenHash) -> Option<Callback>;
            keep_open(attempt: Attempt) -> Option<Duration>;
            note(notes: &[Note]) -> ();
        );
        $with!(Runs:
            reports(after: i64, filter: &RunFilter, limit: u32) -> (Vec<Report>, i64);
            last_seq() -> i64;
            runs(filter: &RunFilter, limit: u32) -> Vec<RunView>;
            run(id: CorrelationId) -> Option<RunStory>;
            trigger(tenant: &TenantId, job: &JobName, beside: bool) -> Option<CorrelationId>;
            enqueue(request: &Enqueue) -> Option<CorrelationId>;
            backfill(key: JobKey, due: &[Timestamp], pause: Duration) -> Option<u64>;
            history(tenant: &TenantId, job: &JobName, from: Timestamp, to: Timestamp) -> Option<JobHistory>;
            cancel(id: CorrelationId) -> Cancelled;
        );
        $with!(DeadLetters:
            dead_groups(filter: &DeadFilter, limit: u32) -> Vec<DeadGroup>;
            dead_count(filter: &DeadFilter) -> DeadCount;
            redrive(filter: &DeadFilter, after: i64, upto: i64, limit: u32) -> Redriven;
            discard(filter: &DeadFilter, upto: i64) -> u64;
        );
        $with!(Catalog:
            snapshot() -> CatalogSnapshot;
            apply(plan: &CatalogPlan, term: Option<&Term>) -> Applied;
            tenants(after: Option<&TenantId>, limit: u32) -> Vec<Member>;
            jobs(tenant: Option<&TenantId>, job: Option<&JobName>, limit: u32) -> Vec<JobView>;
            pause(jobs: &[JobKey], reason: &str, until: Option<Timestamp>) -> u64;
            resume(jobs: &[JobKey]) -> u64;
            job_versions(tenant: &TenantId, job: &JobName) -> Vec<JobVersion>;
            handled_jobs(handlers: &[String], limit: u32) -> Vec<HandledJob>;
        );
        $with!(Roster:
            roster_state() -> RosterState;
            config() -> Option<ConfigInForce>;
            sources() -> Vec<SourceView>;
            origins(after: Option<&TenantId>, limit: u32) -> Vec<(TenantId, String)>;
            snapshot_of(tenants: &[TenantId]) -> CatalogSnapshot;
            record_sources(term: &Term, record: &RosterRecord) -> Recorded;
            request_refresh(allow_drop: bool) -> i64;
        );
        $with!(Hooks:
            hooks_kept() -> HooksKept;
            hook_tail(after: i64, late_after: Duration, limit: u32) -> HookTail;
            overdue(late_after: Duration, limit: u32) -> Vec<Overdue>;
            record_hooks(term: &Term, record: &HooksRecord) -> Recorded;
        );
    };
}
