-- Hooks that the config no longer names.
-- ?1 [name, …]
DELETE FROM hook WHERE name NOT IN (SELECT value FROM json_each(?1))
