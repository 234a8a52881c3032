-- ?1 id
UPDATE running SET cancel = 1 WHERE id = ?1 AND claim_id IS NOT NULL
