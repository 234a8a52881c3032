-- What waited under `cancel_previous`, or before the job had that policy: a later item takes its place.
-- ?1 [key, …]
DELETE FROM ahead WHERE job_key IN (SELECT value FROM json_each(?1)) AND not_before = 9223372036854775807
RETURNING job_key, id, tenant_id, cause, due, attempt, every_us
