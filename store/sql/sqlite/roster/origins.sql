-- ?1 after, ?2 limit
SELECT id, source FROM tenant WHERE active AND id > ?1 ORDER BY id LIMIT ?2
