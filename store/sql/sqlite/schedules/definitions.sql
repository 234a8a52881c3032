-- ?1 [id, …]
SELECT id, body FROM definition WHERE id IN (SELECT unhex(value) FROM json_each(?1))
