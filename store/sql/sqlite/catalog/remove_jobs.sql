-- ?1 [key, …]
UPDATE job SET active = 0, next_due = NULL WHERE key IN (SELECT value FROM json_each(?1))
