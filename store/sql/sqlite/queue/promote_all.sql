-- The same for all jobs, of which nothing is in line that would let the next one go: what became of a run does not
-- always look at what waits for it.
-- ?1 now, ?2 late
UPDATE ahead SET not_before = ?1 WHERE (job_key, id) IN (
    SELECT p.job_key, (SELECT a.id FROM ahead a WHERE a.job_key = p.job_key AND a.not_before = 9223372036854775807
                       ORDER BY a.due, a.id LIMIT 1)
    FROM (SELECT DISTINCT job_key FROM ahead WHERE not_before = 9223372036854775807) AS p
    WHERE NOT EXISTS (SELECT 1 FROM running x WHERE x.job_key = p.job_key AND x.overlap <> 1)
      AND NOT EXISTS (SELECT 1 FROM ready r WHERE r.job_key = p.job_key AND r.overlap <> 1)
      AND NOT EXISTS (SELECT 1 FROM ahead a WHERE a.job_key = p.job_key AND a.overlap <> 1
                         AND a.not_before <= ?1 AND a.not_before > ?2))
