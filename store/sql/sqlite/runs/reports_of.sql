-- ?1 job key, ?2 id
SELECT p.seq, p.id, p.tenant_id, j.name, p.cause, p.due, p.attempt, p.outcome, p.next_attempt_at, p.started_at,
       p.finished_at, p.executor, p.error, p.result, p.count, p.due_from, p.code
FROM report p JOIN job j ON j.key = p.job_key
WHERE p.job_key = ?1 AND p.id = ?2 ORDER BY p.seq
