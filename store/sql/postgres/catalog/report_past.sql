-- What became of due times that the change leaves behind.
-- $1 ids, $2 keys, $3 last, $4 first or null, $5 counts, $6 outcomes, $7 errors, $8 now
WITH ordered AS MATERIALIZED (SELECT leasehold.order_reports())
INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, due_from, count, attempt, outcome, finished_at, error)
SELECT s.id, s.key, j.tenant_id, 0, s.due, s.due_from, s.count, 0, s.outcome, $8, s.error
FROM ordered, unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::smallint[], $7::text[])
        AS s(id, key, due, due_from, count, outcome, error)
    JOIN (SELECT key, tenant_id FROM leasehold.job WHERE key = ANY($2)) AS j ON j.key = s.key
ORDER BY s.due
