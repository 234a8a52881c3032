-- How far the due times of jobs that change have been dealt with (see schedules/due.sql). A job that has no run left
-- has no due time either.
-- ?1 [key, …]
SELECT key, max(coalesce(nullif(accounted, 0), next_due - 1, last_fired), coalesce(last_fired, 0)), paused_at,
       paused_until, next_due
FROM job
WHERE key IN (SELECT value FROM json_each(?1)) AND active AND coalesce(runs_left, 1) > 0
  AND coalesce(nullif(accounted, 0), next_due, last_fired) IS NOT NULL
