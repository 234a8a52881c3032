-- ?1 tenant, ?2 job
SELECT v.version, v.definition_id, v.valid_from, v.valid_to
FROM job_version v JOIN job j ON j.key = v.job_key
WHERE j.tenant_id = ?1 AND j.name = ?2 ORDER BY v.version
