-- What these claims hold; an endpoint may keep a run open.
-- ?1 [claim, …]
SELECT r.id, r.claim_id, r.attempt, r.released, r.max_attempts, r.cancel, c.id IS NOT NULL AS open, c.retry_us
FROM running AS r
LEFT JOIN callback AS c ON c.id = r.id AND c.claim_id = r.claim_id AND c.within_us IS NOT NULL
WHERE r.claim_id IN (SELECT unhex(value) FROM json_each(?1))
