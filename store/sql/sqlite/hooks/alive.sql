-- Jobs that are not dead, or no longer.
-- ?1 [key, …]
DELETE FROM hook_dead WHERE job_key IN (SELECT value FROM json_each(?1))
