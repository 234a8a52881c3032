-- $1 ids of tenants
SELECT key, tenant_id, name, version, definition_id, active, gated, to_json(gates)::text
FROM leasehold.job WHERE tenant_id = ANY($1)
