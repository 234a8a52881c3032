-- How the scheduled runs of a job ended, by due time; 1 = failed is not terminal.
-- $1 job key, $2 from, $3 to
SELECT p.seq, p.id, p.tenant_id, j.name, p.cause, p.due, p.attempt, p.outcome, p.next_attempt_at, p.started_at,
       p.finished_at, p.executor, p.error, p.result, p.count, p.due_from, p.code
FROM leasehold.report p JOIN leasehold.job j ON j.key = p.job_key
WHERE p.job_key = $1 AND p.cause = 0 AND p.outcome <> 1 AND p.due >= $2 AND coalesce(p.due_from, p.due) < $3
ORDER BY p.due, p.seq
