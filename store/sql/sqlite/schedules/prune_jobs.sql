-- Removed jobs whose last report is gone. Their row was kept for it.
-- ?1 limit
DELETE FROM job WHERE key IN (
    SELECT key FROM job WHERE NOT active
       AND NOT EXISTS (SELECT 1 FROM report WHERE report.job_key = job.key)
       AND NOT EXISTS (SELECT 1 FROM running WHERE running.job_key = job.key)
       AND NOT EXISTS (SELECT 1 FROM ready WHERE ready.job_key = job.key)
       AND NOT EXISTS (SELECT 1 FROM ahead WHERE ahead.job_key = job.key)
    LIMIT ?1)
