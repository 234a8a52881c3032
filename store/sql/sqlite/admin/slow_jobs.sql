-- Jobs whose latest runs took longer than the time between their due times, in milliseconds. For an interval that is
-- the rule.
WITH latest AS (SELECT * FROM report ORDER BY seq DESC LIMIT 5000),
measured AS (
    SELECT job_key, avg(finished_at - started_at) FILTER (WHERE outcome = 0) AS took,
           1.0 * (max(due) - min(coalesce(due_from, due))) / (sum(count) - 1) AS apart
    FROM latest WHERE cause = 0 AND outcome <> 1
    GROUP BY job_key HAVING count(*) FILTER (WHERE outcome = 0) >= 3
)
SELECT j.tenant_id, j.name, CAST(m.took / 1000 AS INTEGER), CAST(m.apart / 1000 AS INTEGER)
FROM measured AS m JOIN job AS j ON j.key = m.job_key
WHERE m.took > m.apart AND j.active AND j.every_us IS NULL
ORDER BY m.took / max(m.apart, 1) DESC LIMIT 10
