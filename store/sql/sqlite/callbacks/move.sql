-- Runs get a claim of their own. The guard is (id, claim, attempt). Gates stay held.
-- ?1 [[id, attempt, claim, own claim, …], …]
UPDATE running SET claim_id = u.own
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS attempt, unhex(value ->> 2) AS claim, unhex(value ->> 3) AS own
      FROM json_each(?1)) AS u
WHERE running.id = u.id AND running.claim_id = u.claim AND running.attempt = u.attempt
RETURNING id, attempt, claim_id
