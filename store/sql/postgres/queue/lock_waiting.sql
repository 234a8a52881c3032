-- Items that wait for runs of these jobs, of which a new one may take the place (`cancel_previous`). Locked before the
-- runs (lock_runs.sql), as everywhere. Answers the jobs of which somebody else has one right now: they are left for the
-- next claim.
-- $1 keys
WITH waiting AS MATERIALIZED (
    SELECT job_key, id FROM leasehold.ahead
    WHERE job_key = ANY($1) AND not_before = 9223372036854775807 AND overlap IN (2, 4)
),
locked AS MATERIALIZED (
    SELECT job_key, id FROM leasehold.ahead
    WHERE job_key = ANY(ARRAY(SELECT job_key FROM waiting)) AND not_before = 9223372036854775807 AND overlap IN (2, 4)
    FOR UPDATE SKIP LOCKED
)
SELECT DISTINCT job_key FROM waiting WHERE id <> ALL(ARRAY(SELECT id FROM locked))
