-- Runs that are not over, the latest due time first. 0 waiting, 1 ready, 2 running.
-- $1 tenants, $2 jobs, $3 states: empty = all; $4 limit
SELECT x.id, x.tenant_id, j.name, x.cause, x.due, x.state, x.attempt, x.not_before, x.started_at, x.executor, p.percent
FROM (
    SELECT id, job_key, tenant_id, cause, due, 0 AS state, attempt, not_before, NULL::bigint AS started_at,
           NULL::uuid AS executor
    FROM leasehold.ahead
    UNION ALL
    SELECT id, job_key, tenant_id, cause, due, 1, attempt, not_before, NULL, NULL FROM leasehold.ready
    UNION ALL
    SELECT id, job_key, tenant_id, cause, due, 2, attempt, NULL, started_at, executor FROM leasehold.running
    WHERE claim_id IS NOT NULL
) AS x JOIN leasehold.job AS j ON j.key = x.job_key
LEFT JOIN leasehold.progress AS p ON p.id = x.id AND p.attempt = x.attempt
WHERE (cardinality($1::text[]) = 0 OR x.tenant_id = ANY($1))
  AND (cardinality($2::text[]) = 0 OR j.name = ANY($2))
  AND (cardinality($3::integer[]) = 0 OR x.state = ANY($3))
ORDER BY x.due DESC, x.id DESC LIMIT $4
