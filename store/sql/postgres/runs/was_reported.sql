-- $1 job key, $2 id
SELECT EXISTS (SELECT 1 FROM leasehold.report WHERE job_key = $1 AND id = $2)
