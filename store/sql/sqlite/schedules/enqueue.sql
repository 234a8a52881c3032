-- ?1 [[id, key, due], …] of jobs that were just advanced
INSERT INTO ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us)
SELECT job.key, u.id, job.tenant_id, job.queue, job.prio, u.due, 0, u.due, u.due, job.overlap, 0, 0,
       job.max_attempts, job.version, job.every_us
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS key, value ->> 2 AS due FROM json_each(?1)) AS u
JOIN job ON job.key = u.key
