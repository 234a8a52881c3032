-- What was done once so long ago that the reports of it are gone, and whose run is over.
-- ?1 what was begun before this instant, ?2 limit
DELETE FROM once WHERE (job_key, scope, name) IN (
    SELECT o.job_key, o.scope, o.name FROM once AS o
    WHERE o.begun_at < ?1 AND NOT EXISTS (SELECT 1 FROM running AS r WHERE r.id = o.run_id)
    ORDER BY o.begun_at LIMIT ?2)
