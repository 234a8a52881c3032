-- The hash of the token of an attempt. The guard is (id, claim, attempt); what a zombie is late with does not replace
-- what belongs to a later attempt.
-- $1 ids, $2 attempts, $3 claims, $4 hashes
INSERT INTO leasehold.callback AS c (id, tenant_id, attempt, claim_id, token_hash)
SELECT r.id, r.tenant_id, r.attempt, r.claim_id, u.hash
FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::bytea[]) AS u(id, attempt, claim_id, hash)
JOIN leasehold.running AS r ON r.id = u.id AND r.attempt = u.attempt AND r.claim_id = u.claim_id
WHERE r.id = ANY($1)
ON CONFLICT (id) DO UPDATE
SET attempt = EXCLUDED.attempt, claim_id = EXCLUDED.claim_id, token_hash = EXCLUDED.token_hash,
    within_us = NULL, until = NULL, retry_us = NULL
WHERE c.attempt <= EXCLUDED.attempt
RETURNING id, attempt, claim_id
