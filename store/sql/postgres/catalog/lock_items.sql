-- What is queued of jobs that change. Waits for a claim that is starting one of them right now, before anything else is
-- locked (the order is: ready and ahead, running, job): its run is then seen by lock_tokens.
-- $1 keys of rescheduled and removed jobs
WITH r AS MATERIALIZED (SELECT 1 FROM leasehold.ready WHERE job_key = ANY($1) ORDER BY job_key, id FOR UPDATE),
a AS MATERIALIZED (SELECT 1 FROM leasehold.ahead WHERE job_key = ANY($1) ORDER BY job_key, id FOR UPDATE)
SELECT (SELECT count(*) FROM r) + (SELECT count(*) FROM a)
