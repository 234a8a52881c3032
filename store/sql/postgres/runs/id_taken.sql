-- $1 job key, $2 id
SELECT EXISTS (SELECT 1 FROM leasehold.ready WHERE job_key = $1 AND id = $2)
    OR EXISTS (SELECT 1 FROM leasehold.ahead WHERE job_key = $1 AND id = $2)
    OR EXISTS (SELECT 1 FROM leasehold.running WHERE id = $2)
    OR EXISTS (SELECT 1 FROM leasehold.report WHERE job_key = $1 AND id = $2)
