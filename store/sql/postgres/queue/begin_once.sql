-- An attempt begins something that is to happen once. The guard is (id, claim, attempt), and the run is locked: a zombie
-- begins nothing (invariant I6). What another attempt began and did not finish is taken over, unless that attempt is still
-- under way. Locks: running, then the row; nobody who has one of these rows waits for a run.
-- $1 id, $2 claim, $3 attempt, $4 scope, $5 name
WITH held AS MATERIALIZED (
    SELECT id, job_key, tenant_id FROM leasehold.running
    WHERE id = $1 AND claim_id = $2 AND attempt = $3 FOR SHARE
),
was AS MATERIALIZED (
    SELECT o.job_key, o.run_id, o.attempt, o.begun_at, o.done_at, o.result
    FROM held AS h JOIN leasehold.once AS o ON o.job_key = h.job_key AND o.scope = $4 AND o.name = $5
    FOR UPDATE OF o
),
busy AS MATERIALIZED (
    SELECT 1 FROM was AS w JOIN leasehold.running AS r ON r.id = w.run_id AND r.attempt = w.attempt
    WHERE w.done_at IS NULL AND r.claim_id IS NOT NULL AND w.run_id <> $1
),
begun AS (
    INSERT INTO leasehold.once (job_key, scope, name, tenant_id, run_id, attempt, begun_at)
    SELECT job_key, $4, $5, tenant_id, id, $3, leasehold.clock_us() FROM held
    WHERE NOT EXISTS (SELECT 1 FROM was)
    ON CONFLICT DO NOTHING
    RETURNING 1
),
taken AS (
    UPDATE leasehold.once AS o SET run_id = $1, attempt = $3, begun_at = leasehold.clock_us()
    FROM was AS w
    WHERE o.job_key = w.job_key AND o.scope = $4 AND o.name = $5 AND w.done_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM busy)
)
SELECT EXISTS (SELECT 1 FROM held), EXISTS (SELECT 1 FROM begun), EXISTS (SELECT 1 FROM busy), w.run_id, w.attempt,
       w.begun_at, w.done_at, w.result
FROM (SELECT 1) AS x LEFT JOIN was AS w ON true
