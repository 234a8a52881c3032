-- Items that wait for room and that nobody needs any longer (their time is over) stand in line again, so that a claim
-- ends them: of each gate as far as the first of them.
-- A row that goes, and a new one that comes: see park.sql.
-- Locks: ready (skipping what others have).
-- $1 gates, $2 how many of each to look at
WITH spent AS MATERIALIZED (
    SELECT r.tid FROM unnest($1::bigint[]) AS g(id)
    CROSS JOIN LATERAL (
        SELECT ctid AS tid, expires_at, misfire_at FROM leasehold.ready WHERE gate_id = g.id
        ORDER BY gate_id, prio, tag LIMIT $2
    ) AS r
    WHERE r.expires_at <= leasehold.now_us() OR r.misfire_at <= leasehold.now_us()
),
gone AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT tid FROM spent)) FOR UPDATE SKIP LOCKED))
    RETURNING *
)
INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap,
                             attempt, released, max_attempts, version, every_us, catch_up, misfire_at, expires_at)
SELECT r.job_key, r.id, r.tenant_id, r.home, r.prio, r.tag, r.cost, r.cause, r.due, r.not_before,
       r.overlap, r.attempt, r.released, r.max_attempts, r.version, r.every_us, r.catch_up, r.misfire_at,
       r.expires_at
FROM gone AS r
