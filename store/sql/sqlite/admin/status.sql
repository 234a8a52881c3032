-- ?1 now
SELECT (SELECT count(*) FROM ready) + (SELECT count(*) FROM ahead WHERE not_before <= ?1) AS depth,
       min((SELECT min(not_before) FROM ready), (SELECT min(not_before) FROM ahead WHERE not_before <= ?1)) AS oldest_both,
       coalesce((SELECT min(not_before) FROM ready), (SELECT min(not_before) FROM ahead WHERE not_before <= ?1)) AS oldest_any,
       (SELECT count(*) FROM ahead WHERE not_before > ?1) AS waiting,
       (SELECT count(*) FROM running WHERE claim_id IS NOT NULL) AS running,
       (SELECT min(next_due) FROM job WHERE next_due IS NOT NULL) AS next_due,
       (SELECT revision FROM catalog) AS revision,
       (SELECT count(*) FROM tenant WHERE active) AS tenants,
       (SELECT count(*) FROM job WHERE active) AS jobs,
       (SELECT count(*) FROM job WHERE active AND every_us IS NOT NULL AND next_due IS NULL
           AND coalesce(paused_until, 0) <= ?1
           AND NOT EXISTS (SELECT 1 FROM ahead q WHERE q.job_key = job.key AND q.every_us IS NOT NULL)
           AND NOT EXISTS (SELECT 1 FROM ready q WHERE q.job_key = job.key AND q.every_us IS NOT NULL)
           AND NOT EXISTS (SELECT 1 FROM running q WHERE q.job_key = job.key AND q.every_us IS NOT NULL)) AS stalled,
       (SELECT count(*) FROM job WHERE active AND paused_until > ?1) AS paused
