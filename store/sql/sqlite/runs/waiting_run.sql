-- A run that waits, in line or for its retry.
-- ?1 job key, ?2 id
SELECT job_key, id, tenant_id, cause, due, attempt, every_us FROM ready WHERE job_key = ?1 AND id = ?2
UNION ALL
SELECT job_key, id, tenant_id, cause, due, attempt, every_us FROM ahead WHERE job_key = ?1 AND id = ?2
