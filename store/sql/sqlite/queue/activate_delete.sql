-- ?1 now, ?2 limit
DELETE FROM ahead WHERE (job_key, id) IN (
    SELECT job_key, id FROM ahead WHERE not_before <= ?1 ORDER BY not_before, job_key, id LIMIT ?2)
