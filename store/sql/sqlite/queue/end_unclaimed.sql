-- Runs that wait for a retry and will not get one. Each of them has its interval token here.
-- ?1 [id, …]
DELETE FROM running WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND claim_id IS NULL
RETURNING job_key, every_us
