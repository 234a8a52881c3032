-- One row more than asked for, to see how far away the next job is. The clock comes with it, and is there even if no
-- job has a due time.
-- $1 limit
SELECT leasehold.now_us(), j.key, j.version, j.definition_id, j.next_due
FROM (SELECT 1) AS one
LEFT JOIN (SELECT key, version, definition_id, next_due FROM leasehold.job WHERE next_due IS NOT NULL
           ORDER BY next_due, tenant_id LIMIT $1) AS j ON true
ORDER BY j.next_due
