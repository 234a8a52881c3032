-- ?1 [[id, key, due], …] of jobs that were just advanced, ?2 now, ?3 error; 4 = misfired
INSERT INTO report (id, job_key, tenant_id, cause, due, attempt, outcome, finished_at, error)
SELECT u.id, job.key, job.tenant_id, 0, u.due, 0, 4, ?2, ?3
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS key, value ->> 2 AS due FROM json_each(?1)) AS u
JOIN job ON job.key = u.key
ORDER BY u.due
