-- $1 job key, $2 id
SELECT x.id, x.tenant_id, j.name, x.cause, x.due, x.state, x.attempt, x.not_before, x.started_at, x.executor, p.percent
FROM (
    SELECT id, job_key, tenant_id, cause, due, 0 AS state, attempt, not_before, NULL::bigint AS started_at,
           NULL::uuid AS executor
    FROM leasehold.ahead WHERE job_key = $1 AND id = $2
    UNION ALL
    SELECT id, job_key, tenant_id, cause, due, 1, attempt, not_before, NULL, NULL
    FROM leasehold.ready WHERE job_key = $1 AND id = $2
    UNION ALL
    SELECT id, job_key, tenant_id, cause, due, 2, attempt, NULL, started_at, executor
    FROM leasehold.running WHERE id = $2 AND claim_id IS NOT NULL
) AS x JOIN leasehold.job AS j ON j.key = x.job_key
LEFT JOIN leasehold.progress AS p ON p.id = x.id AND p.attempt = x.attempt
