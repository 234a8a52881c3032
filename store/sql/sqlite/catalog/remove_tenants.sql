-- ?1 [id, …], ?2 revision
UPDATE tenant SET active = 0, revision = ?2 WHERE id IN (SELECT value FROM json_each(?1))
