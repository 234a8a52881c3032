-- The same for all jobs, of which nothing is in line that would let the next one go: what became of a run does not
-- always look at what waits for it, and a process may end before it does.
WITH first AS MATERIALIZED (
    SELECT DISTINCT ON (job_key) job_key, id FROM leasehold.ahead
    WHERE not_before = 9223372036854775807
    ORDER BY job_key, due, id
),
free AS MATERIALIZED (
    SELECT f.job_key, f.id FROM first AS f
    WHERE (SELECT true FROM leasehold.running AS r WHERE r.job_key = f.job_key AND r.overlap <> 1 LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.ready AS r WHERE r.job_key = f.job_key AND r.overlap <> 1 LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.ahead AS a WHERE a.job_key = f.job_key AND a.overlap <> 1
              AND a.not_before <= leasehold.now_us() AND a.not_before > leasehold.now_us() - 60000000 LIMIT 1) IS NULL
)
UPDATE leasehold.ahead SET not_before = leasehold.clock_us()
WHERE job_key = ANY(ARRAY(SELECT job_key FROM free)) AND id = ANY(ARRAY(SELECT id FROM free))
  AND not_before = 9223372036854775807
