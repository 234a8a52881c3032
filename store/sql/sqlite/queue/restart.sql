-- Later attempts: the row is there and has no claim (invariant I5).
-- ?1 [[id, the gates that it passes], …], ?2 claim, ?3 executor, ?4 now
UPDATE running SET claim_id = ?2, executor = ?3, started_at = ?4, attempt = attempt + 1, gates = u.gates,
                   begun_at = coalesce(begun_at, ?4)
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS gates FROM json_each(?1)) AS u
WHERE running.id = u.id AND running.claim_id IS NULL
RETURNING running.id, running.begun_at
