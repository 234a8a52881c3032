-- Asks what runs of these jobs to stop; their executors hear of it at the next heartbeat. Locked in the order of ids and
-- before the jobs, as everywhere.
-- $1 keys
UPDATE leasehold.running SET cancel = true
WHERE id = ANY(ARRAY(SELECT id FROM leasehold.running WHERE job_key = ANY($1) AND claim_id IS NOT NULL
                     ORDER BY id FOR UPDATE))
