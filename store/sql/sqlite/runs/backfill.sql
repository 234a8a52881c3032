-- Runs of their own for due times of the past, one after the other. An id that was made before and is still known is
-- left out.
-- ?1 job key, ?2 [[id, due], …], ?3 now, ?4 time between two of them; 2 = backfill
INSERT INTO ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up)
SELECT j.key, b.id, j.tenant_id, j.queue, j.prio, b.not_before, 2, b.due, b.not_before,
       CASE WHEN j.overlap = 1 THEN 1 ELSE 3 END, 0, 0, j.max_attempts, j.version, NULL, 2
FROM (SELECT u.id, u.due, ?3 + (row_number() OVER (ORDER BY u.due) - 1) * ?4 AS not_before
      FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS due FROM json_each(?2)) AS u
      WHERE NOT EXISTS (SELECT 1 FROM ahead q WHERE q.job_key = ?1 AND q.id = u.id)
        AND NOT EXISTS (SELECT 1 FROM ready q WHERE q.job_key = ?1 AND q.id = u.id)
        AND NOT EXISTS (SELECT 1 FROM running q WHERE q.id = u.id)
        AND NOT EXISTS (SELECT 1 FROM report q WHERE q.job_key = ?1 AND q.id = u.id)) AS b
JOIN job j ON j.key = ?1 AND j.active
