-- What should have started, and has not: items in line, what no executor has made ready, and jobs at which the leader
-- has not looked. What waits at a limit or for a run of its job waits on purpose.
-- ?1 from which instant on, ?2 how many
SELECT q.tenant_id, j.name, q.not_before, 1 FROM (
    SELECT * FROM (SELECT tenant_id, job_key, not_before FROM ready
                   WHERE attempt = 0 AND gate_id IS NULL AND not_before <= ?1 LIMIT ?2)
    UNION ALL
    SELECT * FROM (SELECT tenant_id, job_key, not_before FROM ahead
                   WHERE attempt = 0 AND not_before <= ?1 ORDER BY not_before LIMIT ?2)
) AS q JOIN job AS j ON j.key = q.job_key
UNION ALL
SELECT * FROM (SELECT tenant_id, name, next_due, 0 FROM job WHERE active AND next_due <= ?1 ORDER BY next_due LIMIT ?2)
