-- Scheduled runs of jobs that change: their completion decides when a new interval starts. Locked before the jobs, as
-- settle does it, and in order.
-- $1 keys of rescheduled and removed jobs
SELECT job_key FROM leasehold.running WHERE job_key = ANY($1) AND cause = 0 ORDER BY id FOR UPDATE
