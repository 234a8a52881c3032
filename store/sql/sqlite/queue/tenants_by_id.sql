-- ?1 [id, …]
SELECT attributes, revision FROM tenant WHERE id IN (SELECT value FROM json_each(?1))
