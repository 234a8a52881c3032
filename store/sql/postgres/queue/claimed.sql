-- What a claim holds, for a claimer whose answer was lost: the columns of claim.sql.
-- $1 claim
SELECT r.job_key, r.id, r.tenant_id, t.revision, j.name, j.definition_id, r.cause, r.due, r.attempt, r.released,
       true AS started, false AS missed, false AS blocked, r.queue, r.prio, 0::bigint AS tag, 0::bigint AS cost,
       false AS limited, r.gates, leasehold.clock_us() - coalesce(r.begun_at, r.started_at) AS age
FROM leasehold.running AS r
JOIN (SELECT key, name, definition_id FROM leasehold.job WHERE key = ANY(ARRAY(
          SELECT job_key FROM leasehold.running WHERE claim_id = $1))) AS j ON j.key = r.job_key
LEFT JOIN (SELECT id, revision FROM leasehold.tenant WHERE id = ANY(ARRAY(
          SELECT tenant_id FROM leasehold.running WHERE claim_id = $1))) AS t ON t.id = r.tenant_id
WHERE r.claim_id = $1
