-- Begins it, or takes it over from an attempt that did not finish it; the caller has looked at both in this transaction.
-- ?1 id, ?2 attempt, ?3 scope, ?4 name, ?5 now
INSERT INTO once (job_key, scope, name, tenant_id, run_id, attempt, begun_at)
SELECT job_key, ?3, ?4, tenant_id, id, ?2, ?5 FROM running WHERE id = ?1
ON CONFLICT (job_key, scope, name) DO UPDATE
SET run_id = excluded.run_id, attempt = excluded.attempt, begun_at = excluded.begun_at
WHERE once.done_at IS NULL
