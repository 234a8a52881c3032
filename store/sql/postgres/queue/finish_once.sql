-- What was begun is done. Only the attempt that began it last, and only while the run is its own: the guard is that of
-- begin_once.sql, with its locks.
-- $1 id, $2 claim, $3 attempt, $4 scope, $5 name, $6 result
WITH held AS MATERIALIZED (
    SELECT job_key FROM leasehold.running WHERE id = $1 AND claim_id = $2 AND attempt = $3 FOR SHARE
)
UPDATE leasehold.once AS o SET done_at = leasehold.clock_us(), result = $6
FROM held AS h
WHERE o.job_key = h.job_key AND o.scope = $4 AND o.name = $5 AND o.run_id = $1 AND o.attempt = $3 AND o.done_at IS NULL
