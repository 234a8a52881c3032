-- What waited under `cancel_previous`, or `buffer_one` before: a later item takes its place. A backfill waits on.
-- ?1 [key, …]
DELETE FROM ahead WHERE job_key IN (SELECT value FROM json_each(?1)) AND not_before = 9223372036854775807
  AND overlap IN (2, 4)
RETURNING job_key, id, tenant_id, cause, due, attempt, every_us
