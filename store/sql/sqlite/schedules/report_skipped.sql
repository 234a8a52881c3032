-- Due times in a row that did not run, for one reason, are one report: that of the last of them.
-- ?1 [[id, key, last, first or null, count, outcome, error], …], ?2 now
INSERT INTO report (id, job_key, tenant_id, cause, due, due_from, count, attempt, outcome, finished_at, error)
SELECT u.id, job.key, job.tenant_id, 0, u.due, u.due_from, u.count, 0, u.outcome, ?2, u.error
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS key, value ->> 2 AS due, value ->> 3 AS due_from,
             value ->> 4 AS count, value ->> 5 AS outcome, value ->> 6 AS error
      FROM json_each(?1)) AS u
JOIN job ON job.key = u.key
ORDER BY u.due
