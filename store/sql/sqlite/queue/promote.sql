-- Items that wait for a run of their job which is over: the oldest of each job goes.
-- ?1 [key, …], ?2 now
UPDATE ahead SET not_before = ?2 WHERE (job_key, id) IN (
    SELECT k.value, (SELECT a.id FROM ahead a WHERE a.job_key = k.value AND a.not_before = 9223372036854775807
                     ORDER BY a.due, a.id LIMIT 1)
    FROM json_each(?1) AS k
    WHERE EXISTS (SELECT 1 FROM ahead a WHERE a.job_key = k.value AND a.not_before = 9223372036854775807)
      AND NOT EXISTS (SELECT 1 FROM running x WHERE x.job_key = k.value AND x.overlap <> 1))
