-- Later attempts: the row is there and has no claim (invariant I5).
-- ?1 [id, …], ?2 claim, ?3 executor, ?4 now
UPDATE running SET claim_id = ?2, executor = ?3, started_at = ?4, attempt = attempt + 1
WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND claim_id IS NULL
RETURNING id
