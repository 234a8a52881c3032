SELECT key, tenant_id, name, version, definition_id, active, gated, gates FROM job
