-- These wait for a run of their job. They came in time: from now on neither a limit nor a later one ends them.
-- ?1 [[key, id], …] in line
INSERT INTO ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up, misfire_at, expires_at)
SELECT r.job_key, r.id, r.tenant_id, coalesce(r.home, r.queue), r.prio, r.tag, r.cause, r.due, 9223372036854775807, r.overlap, r.attempt,
       r.released, r.max_attempts, r.version, r.every_us, 2, NULL, r.expires_at
FROM json_each(?1) AS u JOIN ready r ON r.job_key = u.value ->> 0 AND r.id = unhex(u.value ->> 1)
