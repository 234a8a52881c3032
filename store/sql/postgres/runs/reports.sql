-- A window of the stream; the caller filters and knows how far it has read. Whoever commits later has a higher seq
-- (see leasehold.order_reports).
-- $1 after, $2 limit
SELECT p.seq, p.id, p.tenant_id, j.name, p.cause, p.due, p.attempt, p.outcome, p.next_attempt_at, p.started_at,
       p.finished_at, p.executor, p.error, p.result, p.count, p.due_from, p.code
FROM leasehold.report p JOIN leasehold.job j ON j.key = p.job_key
WHERE p.seq > $1 ORDER BY p.seq LIMIT $2
