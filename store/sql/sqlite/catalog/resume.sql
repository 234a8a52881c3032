-- The leader looks at them at once, accounts for the pause and goes on. An interval job with its token in flight is due
-- an interval after that run has ended, and another one an interval after its last run has (invariant I9).
-- ?1 [key, …], ?2 now
UPDATE job
SET paused_until = ?2, resumed_at = ?2,
    next_due = CASE WHEN every_us IS NOT NULL AND (
              EXISTS (SELECT 1 FROM ahead q WHERE q.job_key = job.key AND q.every_us IS NOT NULL)
           OR EXISTS (SELECT 1 FROM ready q WHERE q.job_key = job.key AND q.every_us IS NOT NULL)
           OR key IN (SELECT job_key FROM running WHERE every_us IS NOT NULL)
        ) THEN NULL
        ELSE max(?2, coalesce(every_us + (SELECT p.finished_at FROM report p
                                          WHERE p.job_key = job.key AND p.cause = 0 AND p.outcome <> 1
                                          ORDER BY p.id DESC LIMIT 1), 0))
        END
WHERE key IN (SELECT value FROM json_each(?1)) AND active AND paused_until > ?2
