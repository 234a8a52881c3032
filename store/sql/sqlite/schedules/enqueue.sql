-- ?1 [[id, key, due, not before, misfire at, expires at, catch-up], …] of jobs that were just advanced
INSERT INTO ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up, misfire_at, expires_at)
SELECT job.key, u.id, job.tenant_id, job.queue, job.prio, u.not_before, 0, u.due, u.not_before, job.overlap, 0, 0,
       job.max_attempts, job.version, job.every_us, u.catch_up, u.misfire_at, u.expires_at
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS key, value ->> 2 AS due, value ->> 3 AS not_before,
             value ->> 4 AS misfire_at, value ->> 5 AS expires_at, value ->> 6 AS catch_up
      FROM json_each(?1)) AS u
JOIN job ON job.key = u.key
