-- The hash of the token of an attempt. The guard is (id, claim, attempt); an older attempt's token is forgotten.
-- ?1 [[id, attempt, claim, hash], …]
INSERT INTO callback (id, tenant_id, attempt, claim_id, token_hash)
SELECT r.id, r.tenant_id, r.attempt, r.claim_id, u.hash
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS attempt, unhex(value ->> 2) AS claim, unhex(value ->> 3) AS hash
      FROM json_each(?1)) AS u
JOIN running AS r ON r.id = u.id AND r.attempt = u.attempt AND r.claim_id = u.claim
WHERE true
ON CONFLICT (id) DO UPDATE
SET attempt = excluded.attempt, claim_id = excluded.claim_id, token_hash = excluded.token_hash,
    within_us = NULL, until = NULL, retry_us = NULL
RETURNING id, attempt, claim_id
