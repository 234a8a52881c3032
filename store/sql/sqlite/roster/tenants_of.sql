-- ?1 [id, …]
SELECT attributes, source, roster_row FROM tenant
WHERE active AND id IN (SELECT value FROM json_each(?1)) ORDER BY id
