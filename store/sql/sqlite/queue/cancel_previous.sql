-- The executors of these jobs' runs are asked to stop.
-- ?1 [key, …]
UPDATE running SET cancel = 1
WHERE job_key IN (SELECT value FROM json_each(?1)) AND overlap <> 1 AND claim_id IS NOT NULL
