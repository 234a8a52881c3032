-- First attempts. The unique index on the job decides who runs; the loser is left out (invariant I8).
-- ?1 [[key, id, the gates that it passes], …] in line, ?2 claim, ?3 executor, ?4 now
INSERT INTO running (id, job_key, tenant_id, queue, prio, cause, due, overlap, attempt, released, max_attempts,
                     version, every_us, claim_id, executor, started_at, catch_up, expires_at, gates, begun_at)
SELECT r.id, r.job_key, r.tenant_id, coalesce(r.home, r.queue), r.prio, r.cause, r.due, r.overlap, 1, r.released, r.max_attempts,
       r.version, r.every_us, ?2, ?3, ?4, r.catch_up, r.expires_at, u.value ->> 2, ?4
FROM json_each(?1) AS u JOIN ready r ON r.job_key = u.value ->> 0 AND r.id = unhex(u.value ->> 1)
WHERE r.attempt = 0
ORDER BY u.key
ON CONFLICT DO NOTHING
RETURNING id, begun_at
