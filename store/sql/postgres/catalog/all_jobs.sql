SELECT key, tenant_id, name, version, definition_id, active FROM leasehold.job
