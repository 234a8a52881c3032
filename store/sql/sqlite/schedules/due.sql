-- One row more than asked for, to see how far away the next job is.
-- ?1 limit
SELECT key, version, definition_id, next_due FROM job WHERE next_due IS NOT NULL ORDER BY next_due, tenant_id LIMIT ?1
