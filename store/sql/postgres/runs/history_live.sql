-- Scheduled runs of a job that are not over. 0 waiting, 1 ready, 2 running.
-- $1 job key
SELECT due, 0 AS state FROM leasehold.ahead WHERE job_key = $1 AND cause = 0 AND attempt = 0
UNION ALL SELECT due, 1 FROM leasehold.ready WHERE job_key = $1 AND cause = 0 AND attempt = 0
UNION ALL SELECT due, 2 FROM leasehold.running WHERE job_key = $1 AND cause = 0
ORDER BY 1
