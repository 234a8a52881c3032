-- $1 tenant or null, $2 job or null, $3 limit
SELECT j.tenant_id, j.name, j.version, d.body, j.next_due, j.last_fired, j.key, j.paused_at, j.paused_until,
       j.pause_reason, j.runs_left, leasehold.now_us()
FROM leasehold.job j JOIN leasehold.definition d ON d.id = j.definition_id
WHERE j.active AND ($1::text IS NULL OR j.tenant_id = $1) AND ($2::text IS NULL OR j.name = $2)
ORDER BY j.tenant_id, j.name LIMIT $3
