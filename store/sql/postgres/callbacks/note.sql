-- The guard is (id, claim, attempt); what a zombie is late with does not replace what a later attempt has said.
-- $1 ids in order, $2 attempts, $3 claims, $4 percents, $5 messages, $6 logs
INSERT INTO leasehold.progress AS p (id, tenant_id, attempt, percent, message, log, at)
SELECT r.id, r.tenant_id, r.attempt, u.percent, u.message, u.log, leasehold.clock_us()
FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::smallint[], $5::text[], $6::text[])
    AS u(id, attempt, claim_id, percent, message, log)
JOIN leasehold.running AS r ON r.id = u.id AND r.attempt = u.attempt AND r.claim_id = u.claim_id
WHERE r.id = ANY($1)
ORDER BY r.id
ON CONFLICT (id) DO UPDATE
SET attempt = EXCLUDED.attempt, at = EXCLUDED.at,
    percent = CASE WHEN p.attempt = EXCLUDED.attempt THEN coalesce(EXCLUDED.percent, p.percent) ELSE EXCLUDED.percent END,
    message = CASE WHEN p.attempt = EXCLUDED.attempt THEN coalesce(EXCLUDED.message, p.message) ELSE EXCLUDED.message END,
    log = CASE WHEN p.attempt = EXCLUDED.attempt THEN coalesce(EXCLUDED.log, p.log) ELSE EXCLUDED.log END
WHERE p.attempt <= EXCLUDED.attempt
