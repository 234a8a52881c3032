-- A window of the stream, and of it what a hook may want to know of. One writer at a time: whoever commits
-- later has a higher seq. The clock and the end of the window come with it, and are there even if nothing else is.
-- ?1 after, ?2 from which delay on a start is late, ?3 how many reports to look at, ?4 now
WITH w AS MATERIALIZED (
    SELECT * FROM report WHERE seq > ?1 ORDER BY seq LIMIT ?3
),
died AS MATERIALIZED (
    SELECT job_key, min(seq) AS seq FROM w WHERE outcome = 2 GROUP BY job_key
),
found AS (
    SELECT w.*, EXISTS (SELECT 1 FROM hook_dead AS h WHERE h.job_key = w.job_key) AS was_dead,
           coalesce(d.seq < w.seq, false) AS died
    FROM w LEFT JOIN died AS d ON d.job_key = w.job_key
)
SELECT p.seq, p.id, p.tenant_id, j.name, p.cause, p.due, p.attempt, p.outcome, p.next_attempt_at, p.started_at,
       p.finished_at, p.executor, p.error, NULL, p.count, p.due_from, p.code, p.was_dead,
       ?4, (SELECT max(seq) FROM w), (SELECT count(*) FROM w)
FROM (SELECT 1) AS one
LEFT JOIN (found AS p JOIN job AS j ON j.key = p.job_key)
  ON p.outcome = 2 OR p.attempt = 0 AND p.outcome IN (4, 8) OR p.outcome = 0 AND (p.was_dead OR p.died)
  OR p.cause = 0 AND p.attempt = 1 AND p.started_at - p.due >= ?2
ORDER BY p.seq
