-- ?1 now, ?2 late, ?3 limit; the same rows as activate_delete: the order is total
INSERT INTO ready (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up, misfire_at, expires_at)
SELECT job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released, max_attempts,
       version, every_us, catch_up, misfire_at, expires_at
FROM ahead WHERE not_before <= ?1 AND not_before > ?2 ORDER BY not_before, job_key, id LIMIT ?3
