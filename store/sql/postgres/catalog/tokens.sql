-- Jobs whose interval token is in the queue or with a run. Their rows are locked already.
-- $1 keys
SELECT job_key FROM leasehold.ahead WHERE job_key = ANY($1) AND every_us IS NOT NULL
UNION SELECT job_key FROM leasehold.ready WHERE job_key = ANY($1) AND every_us IS NOT NULL
UNION SELECT job_key FROM leasehold.running WHERE job_key = ANY($1) AND every_us IS NOT NULL
