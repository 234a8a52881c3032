-- The same for all jobs, of which nothing is in line that would let the next one go: what became of a run does not
-- always look at what waits for it, and a process may end before it does. The jobs are stepped through by the index, so
-- that a job with many waiting items costs no more than one with one; a piece of them at a time.
-- $1 the first job key, $2 how many jobs
WITH RECURSIVE k AS (
    (SELECT job_key FROM leasehold.ahead WHERE not_before = 9223372036854775807 AND job_key >= $1
     ORDER BY job_key LIMIT 1)
    UNION ALL
    SELECT (SELECT a.job_key FROM leasehold.ahead AS a
            WHERE a.not_before = 9223372036854775807 AND a.job_key > k.job_key ORDER BY a.job_key LIMIT 1)
    FROM k WHERE k.job_key IS NOT NULL
),
piece AS MATERIALIZED (SELECT job_key FROM k WHERE job_key IS NOT NULL LIMIT $2),
free AS MATERIALIZED (
    SELECT f.job_key, (SELECT a.id FROM leasehold.ahead AS a
                       WHERE a.job_key = f.job_key AND a.not_before = 9223372036854775807
                       ORDER BY a.due, a.id LIMIT 1) AS id
    FROM piece AS f
    WHERE (SELECT true FROM leasehold.running AS r WHERE r.job_key = f.job_key AND r.overlap <> 1 LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.ready AS r WHERE r.job_key = f.job_key AND r.overlap <> 1 LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.ahead AS a WHERE a.job_key = f.job_key AND a.overlap <> 1
              AND a.not_before + 0 <= leasehold.now_us() AND a.not_before + 0 > leasehold.now_us() - 60000000 LIMIT 1) IS NULL
),
promoted AS (
    UPDATE leasehold.ahead SET not_before = leasehold.clock_us()
    WHERE job_key = ANY(ARRAY(SELECT job_key FROM free)) AND id = ANY(ARRAY(SELECT id FROM free))
      AND not_before = 9223372036854775807
    RETURNING 1
)
SELECT (SELECT count(*) FROM promoted), (SELECT count(*) FROM piece)
