-- Items that wait for a run of their job which is over: the oldest of each job goes. A statement of its own, after the
-- run's end has been committed: an item may have begun to wait while that statement ran, and only a fresh snapshot sees
-- it. If nobody comes so far (a crash), the leader's rescuer does (promote_all.sql).
-- $1 keys
WITH free AS MATERIALIZED (
    SELECT k.job_key, (SELECT a.id FROM leasehold.ahead AS a
                       WHERE a.job_key = k.job_key AND a.not_before = 9223372036854775807
                       ORDER BY a.due, a.id LIMIT 1) AS id
    FROM (SELECT DISTINCT unnest($1::bigint[]) AS job_key) AS k
    WHERE (SELECT true FROM leasehold.running AS r WHERE r.job_key = k.job_key AND r.overlap <> 1 LIMIT 1) IS NULL
)
UPDATE leasehold.ahead SET not_before = leasehold.clock_us()
WHERE job_key = ANY(ARRAY(SELECT job_key FROM free)) AND id = ANY(ARRAY(SELECT id FROM free))
  AND not_before = 9223372036854775807
