SELECT key, tenant_id, name, version, definition_id, active, gated, to_json(gates)::text FROM leasehold.job
