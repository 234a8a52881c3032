-- The run itself; its place in line is dealt when its time has come.
-- ?1 job key, ?2 id, ?3 due, ?4 priority or null, ?5 until when it may run or null; 3 = enqueue
INSERT INTO ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up, expires_at)
SELECT key, ?2, tenant_id, queue, coalesce(?4, prio), ?3, 3, ?3, ?3, overlap, 0, 0, max_attempts, version, NULL, 2, ?5
FROM job WHERE key = ?1 AND active
