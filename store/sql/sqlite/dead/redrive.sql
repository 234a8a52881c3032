-- Runs of their own in the place of dead ones, which stay dead (invariant I7). An id that is taken is left to the next step,
-- which draws another. They were chosen in this transaction: nobody else has redriven one meanwhile.
-- ?1 [[place of the dead run's report, new id], …], ?2 now; 4 = redrive
INSERT INTO ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up)
SELECT j.key, unhex(u.value ->> 1), j.tenant_id, j.queue, j.prio, ?2, 4, p.due, ?2,
       CASE WHEN j.overlap = 1 THEN 1 ELSE 3 END, 0, 0, j.max_attempts, j.version, NULL, 2
FROM json_each(?1) AS u
JOIN report AS p ON p.seq = u.value ->> 0
JOIN job AS j ON j.key = p.job_key AND j.active
WHERE NOT EXISTS (SELECT 1 FROM ready q WHERE q.job_key = j.key AND q.id = unhex(u.value ->> 1))
  AND NOT EXISTS (SELECT 1 FROM running q WHERE q.id = unhex(u.value ->> 1))
  AND NOT EXISTS (SELECT 1 FROM report q WHERE q.job_key = j.key AND q.id = unhex(u.value ->> 1))
ON CONFLICT DO NOTHING
RETURNING id
