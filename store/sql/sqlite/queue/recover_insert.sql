-- Late items line up behind what is there already, so that work on time keeps its place.
-- ?1 [[key, id], …], ?2 late, ?3 now
INSERT INTO ready (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up, misfire_at, expires_at)
SELECT a.job_key, a.id, a.tenant_id, a.queue, a.prio, ?3 + u.key, a.cause, a.due, a.not_before, a.overlap,
       a.attempt, a.released, a.max_attempts, a.version, a.every_us, a.catch_up, a.misfire_at, a.expires_at
FROM json_each(?1) AS u JOIN ahead a ON a.job_key = u.value ->> 0 AND a.id = unhex(u.value ->> 1)
WHERE a.not_before <= ?2
