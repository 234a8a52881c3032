-- Jobs whose latest runs took longer than the time between their due times, in milliseconds. For an interval that is
-- the rule.
WITH latest AS (SELECT * FROM leasehold.report ORDER BY seq DESC LIMIT 5000),
measured AS (
    SELECT job_key, avg(finished_at - started_at) FILTER (WHERE outcome = 0) AS took,
           (max(due) - min(coalesce(due_from, due))) / (sum(count) - 1) AS between
    FROM latest WHERE cause = 0 AND outcome <> 1
    GROUP BY job_key HAVING count(*) FILTER (WHERE outcome = 0) >= 3
)
SELECT j.tenant_id, j.name, (m.took / 1000)::bigint, (m.between / 1000)::bigint
FROM measured AS m JOIN leasehold.job AS j ON j.key = m.job_key
WHERE m.took > m.between AND j.active AND j.every_us IS NULL
ORDER BY m.took / greatest(m.between, 1) DESC LIMIT 10
