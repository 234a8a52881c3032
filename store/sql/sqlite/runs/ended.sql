-- Runs that are over, the latest report first; 1 = failed is not terminal.
-- ?1 tenants, ?2 jobs, ?3 outcomes: JSON lists, empty = all; ?4 limit
SELECT p.seq, p.id, p.tenant_id, j.name, p.cause, p.due, p.attempt, p.outcome, p.next_attempt_at, p.started_at,
       p.finished_at, p.executor, p.error, p.result, p.count, p.due_from, p.code
FROM report p JOIN job j ON j.key = p.job_key
WHERE p.outcome <> 1
  AND (json_array_length(?1) = 0 OR p.tenant_id IN (SELECT value FROM json_each(?1)))
  AND (json_array_length(?2) = 0 OR j.name IN (SELECT value FROM json_each(?2)))
  AND (json_array_length(?3) = 0 OR p.outcome IN (SELECT value FROM json_each(?3)))
ORDER BY p.seq DESC LIMIT ?4
