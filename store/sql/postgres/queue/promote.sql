-- Items that wait for a run of their job which is over: the oldest of each job goes. A statement of its own, after the
-- run's end has been committed: an item may have begun to wait while that statement ran, and only a fresh snapshot sees
-- it. If nobody comes so far (a crash), the leader's rescuer does (promote_all.sql).
-- $1 keys
WITH first AS MATERIALIZED (
    SELECT DISTINCT ON (job_key) job_key, id FROM leasehold.ahead
    WHERE not_before = 9223372036854775807 AND job_key = ANY($1)
    ORDER BY job_key, due, id
),
free AS MATERIALIZED (
    SELECT f.job_key, f.id FROM first AS f
    WHERE (SELECT true FROM leasehold.running AS r WHERE r.job_key = f.job_key AND r.overlap <> 1 LIMIT 1) IS NULL
)
UPDATE leasehold.ahead SET not_before = leasehold.clock_us()
WHERE job_key = ANY(ARRAY(SELECT job_key FROM free)) AND id = ANY(ARRAY(SELECT id FROM free))
  AND not_before = 9223372036854775807
