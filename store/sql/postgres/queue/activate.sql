-- What is due moves from ahead to ready. SKIP LOCKED: several executors may do this at once, and share the work.
-- `not_before` bounds the scan, so a million items that are not due are never touched.
-- $1 limit
WITH due AS (
    DELETE FROM leasehold.ahead WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM leasehold.ahead WHERE not_before <= leasehold.now_us()
        ORDER BY not_before LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING *
),
moved AS (
    INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us)
    SELECT job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
           max_attempts, version, every_us
    FROM due
    RETURNING 1
)
SELECT (SELECT count(*) FROM moved),
       (SELECT not_before FROM leasehold.ahead WHERE not_before > leasehold.now_us() ORDER BY not_before LIMIT 1)
           - leasehold.now_us()
