-- A job whose latest runs were all dead pauses itself until somebody resumes it. Ids of scheduled runs sort by their
-- due times. The newest reports are looked at and no others, so that a long history costs nothing.
-- ?1 key, ?2 after how many, ?3 since when they count, ?4 now
UPDATE job
SET paused_at = CASE WHEN paused_until > max(accounted, coalesce(last_fired, 0)) THEN paused_at ELSE ?4 END,
    paused_until = 9223372036854775807, next_due = NULL,
    pause_reason = 'paused itself after ' || ?2 || ' dead runs in a row'
WHERE key = ?1
  AND (SELECT count(*) FROM (SELECT outcome, finished_at FROM report
                             WHERE job_key = ?1 AND cause = 0 AND outcome IN (0, 2) ORDER BY id DESC LIMIT ?2)
       WHERE outcome = 2 AND finished_at > ?3) >= ?2
