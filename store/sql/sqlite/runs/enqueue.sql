-- The record of a run to be: it decides between two that drew the same id or have the same key.
-- ?1 job key, ?2 id, ?3 key or null, ?4 payload or null, ?5 now
INSERT INTO enqueued (job_key, id, tenant_id, dedup, payload, at)
SELECT key, ?2, tenant_id, ?3, ?4, ?5 FROM job WHERE key = ?1 AND active
ON CONFLICT DO NOTHING
