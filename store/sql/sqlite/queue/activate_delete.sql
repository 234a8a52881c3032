-- ?1 now, ?2 late: what was due before that comes with the recovery budget, ?3 limit
DELETE FROM ahead WHERE (job_key, id) IN (
    SELECT job_key, id FROM ahead WHERE not_before <= ?1 AND not_before > ?2
    ORDER BY not_before, job_key, id LIMIT ?3)
