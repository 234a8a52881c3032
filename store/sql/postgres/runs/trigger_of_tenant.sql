-- The same for whoever sees the rows of one tenant only: a place in line is dealt between tenants, so that is left to the
-- next activation. It is due now.
-- $1 id, $2 job key, $3 now, $4 whether it runs beside others of its job; 1 = trigger
INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                             released, max_attempts, version, every_us, catch_up)
SELECT key, $1, tenant_id, queue, prio, $3, 1, $3, $3, CASE WHEN $4 THEN 1 ELSE overlap END, 0, 0, max_attempts, version,
       NULL, 2
FROM leasehold.job WHERE key = $2 AND active
ON CONFLICT DO NOTHING
