-- ?1 [id of a tenant, …]
SELECT key, tenant_id, name, version, definition_id, active, gated, gates
FROM job WHERE tenant_id IN (SELECT value FROM json_each(?1))
