-- Runs that are over, the latest report first; 1 = failed is not terminal.
-- $1 tenants, $2 jobs, $3 outcomes: empty = all; $4 limit
SELECT p.seq, p.id, p.tenant_id, j.name, p.cause, p.due, p.attempt, p.outcome, p.next_attempt_at, p.started_at,
       p.finished_at, p.executor, p.error, p.result, p.count, p.due_from, p.code
FROM leasehold.report AS p JOIN leasehold.job AS j ON j.key = p.job_key
WHERE p.outcome <> 1
  AND (cardinality($1::text[]) = 0 OR p.tenant_id = ANY($1))
  AND (cardinality($2::text[]) = 0 OR j.name = ANY($2))
  AND (cardinality($3::smallint[]) = 0 OR p.outcome = ANY($3))
ORDER BY p.seq DESC LIMIT $4
