-- Jobs that are not paused stop being due, until then or until somebody resumes them. What is queued is left: a claim
-- looks at the pause. An interval job with its token in flight is due when that run has ended and the pause is over, and
-- another one not before it was due anyway. A pause before it that the leader has not accounted for becomes part of it.
-- ?1 [key, …], ?2 reason, ?3 until (the largest number: nobody has said), ?4 now
UPDATE job
SET paused_at = CASE WHEN paused_until > max(accounted, coalesce(last_fired, 0)) THEN paused_at ELSE ?4 END,
    paused_until = ?3, pause_reason = ?2,
    next_due = CASE WHEN every_us IS NOT NULL AND (
              EXISTS (SELECT 1 FROM ahead q WHERE q.job_key = job.key AND q.every_us IS NOT NULL)
           OR EXISTS (SELECT 1 FROM ready q WHERE q.job_key = job.key AND q.every_us IS NOT NULL)
           OR key IN (SELECT job_key FROM running WHERE every_us IS NOT NULL)
        ) THEN NULL
        ELSE nullif(max(?3, CASE WHEN every_us IS NOT NULL THEN coalesce(next_due, 0) ELSE 0 END), 9223372036854775807)
        END
WHERE key IN (SELECT value FROM json_each(?1)) AND active AND coalesce(paused_until, 0) <= ?4 AND ?3 > ?4
