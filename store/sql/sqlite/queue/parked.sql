-- How many items of each job wait for its run.
-- ?1 [key, …]
SELECT job_key, count(*) FROM ahead
WHERE job_key IN (SELECT value FROM json_each(?1)) AND not_before = 9223372036854775807
GROUP BY job_key
