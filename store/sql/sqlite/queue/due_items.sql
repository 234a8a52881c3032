-- What is due and on time, the oldest first.
-- ?1 now, ?2 late: what was due before that comes with the recovery budget, ?3 limit
SELECT job_key, id FROM ahead WHERE not_before <= ?1 AND not_before > ?2 ORDER BY not_before, job_key, id LIMIT ?3
