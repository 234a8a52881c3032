-- ?1 tenant, ?2 job
SELECT key FROM job WHERE tenant_id = ?1 AND name = ?2 AND active
