-- The interval token stays in `running`.
-- ?1 [[id, not before], …] of runs that were just given back
INSERT INTO ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up, expires_at)
SELECT r.job_key, r.id, r.tenant_id, r.queue, r.prio, u.not_before, r.cause, r.due, u.not_before, r.overlap,
       r.attempt, r.released, r.max_attempts, r.version, NULL, r.catch_up, r.expires_at
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS not_before FROM json_each(?1)) AS u
JOIN running r ON r.id = u.id
