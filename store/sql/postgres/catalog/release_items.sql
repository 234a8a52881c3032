-- Items that wait for an executor or an endpoint which their job, as it is now, does not ask for any longer: they stand in
-- line again. What somebody has right now is let be: who has it moves it.
-- A row that goes, and a new one that comes: see park.sql.
-- Locks: ready (skipping what others have).
-- $1 keys of jobs that change
WITH gone AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM leasehold.ready AS r
        WHERE r.gate_id < 0 AND r.job_key = ANY($1)
          AND r.gate_id <> ALL(coalesce((SELECT j.gates FROM leasehold.job AS j WHERE j.key = r.job_key), '{}'))
        FOR UPDATE SKIP LOCKED))
    RETURNING *
)
INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap,
                             attempt, released, max_attempts, version, every_us, catch_up, misfire_at, expires_at)
SELECT r.job_key, r.id, r.tenant_id, r.home, r.prio, r.tag, r.cost, r.cause, r.due, r.not_before,
       r.overlap, r.attempt, r.released, r.max_attempts, r.version, r.every_us, r.catch_up, r.misfire_at,
       r.expires_at
FROM gone AS r
