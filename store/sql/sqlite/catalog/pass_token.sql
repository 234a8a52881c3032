-- The latest scheduled run in flight gets the token of the interval that is in force now, whatever the schedule was when
-- it started: the next run follows its completion (invariant I9). Any other run of the job gives its token up: two
-- tokens would be two chains of runs for ever. Where no interval is in force a token says nothing.
-- ?1 [key, …] of rescheduled and removed jobs
UPDATE running SET every_us = CASE
    WHEN running.id = (SELECT l.id FROM running AS l WHERE l.job_key = running.job_key AND l.cause = 0
                       ORDER BY l.due DESC, l.id DESC LIMIT 1)
    THEN job.every_us END
FROM job
WHERE job.key = running.job_key AND job.active AND job.every_us IS NOT NULL AND running.cause = 0
  AND job.key IN (SELECT value FROM json_each(?1))
