-- Records of enqueued runs that nobody knows any more: neither the queue nor a report.
-- ?1 those before this instant, ?2 limit
DELETE FROM enqueued WHERE (job_key, id) IN (
    SELECT e.job_key, e.id FROM enqueued AS e
    WHERE e.at < ?1
      AND NOT EXISTS (SELECT 1 FROM ahead AS x WHERE x.job_key = e.job_key AND x.id = e.id)
      AND NOT EXISTS (SELECT 1 FROM ready AS x WHERE x.job_key = e.job_key AND x.id = e.id)
      AND NOT EXISTS (SELECT 1 FROM running AS x WHERE x.id = e.id)
      AND NOT EXISTS (SELECT 1 FROM report AS x WHERE x.job_key = e.job_key AND x.id = e.id)
    ORDER BY e.at LIMIT ?2)
