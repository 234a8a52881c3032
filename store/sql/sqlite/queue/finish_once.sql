-- What was begun is done. Only the attempt that began it last, and only while the run is its own (invariant I6).
-- ?1 id, ?2 claim, ?3 attempt, ?4 scope, ?5 name, ?6 result, ?7 now
UPDATE once SET done_at = ?7, result = ?6
WHERE job_key = (SELECT job_key FROM running WHERE id = ?1 AND claim_id = ?2 AND attempt = ?3)
  AND scope = ?4 AND name = ?5 AND run_id = ?1 AND attempt = ?3 AND done_at IS NULL
