-- Runs that are not over, the latest due time first. 0 waiting, 1 ready, 2 running.
-- ?1 tenants, ?2 jobs, ?3 states: JSON lists, empty = all; ?4 limit
SELECT x.id, x.tenant_id, j.name, x.cause, x.due, x.state, x.attempt, x.not_before, x.started_at, x.executor, p.percent
FROM (
    SELECT id, job_key, tenant_id, cause, due, 0 AS state, attempt, not_before, NULL AS started_at, NULL AS executor
    FROM ahead
    UNION ALL
    SELECT id, job_key, tenant_id, cause, due, 1, attempt, not_before, NULL, NULL FROM ready
    UNION ALL
    SELECT id, job_key, tenant_id, cause, due, 2, attempt, NULL, started_at, executor FROM running
    WHERE claim_id IS NOT NULL
) AS x JOIN job j ON j.key = x.job_key
LEFT JOIN progress AS p ON p.id = x.id AND p.attempt = x.attempt
WHERE (json_array_length(?1) = 0 OR x.tenant_id IN (SELECT value FROM json_each(?1)))
  AND (json_array_length(?2) = 0 OR j.name IN (SELECT value FROM json_each(?2)))
  AND (json_array_length(?3) = 0 OR x.state IN (SELECT value FROM json_each(?3)))
ORDER BY x.due DESC, x.id DESC LIMIT ?4
