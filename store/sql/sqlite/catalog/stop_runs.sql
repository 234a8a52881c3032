-- Asks what runs of these jobs to stop; their executors hear of it at the next heartbeat.
-- ?1 [key, …]
UPDATE running SET cancel = 1 WHERE job_key IN (SELECT value FROM json_each(?1)) AND claim_id IS NOT NULL
