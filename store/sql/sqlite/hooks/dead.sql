-- Jobs that are dead.
-- ?1 [key, …]
INSERT INTO hook_dead (job_key) SELECT value FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING
