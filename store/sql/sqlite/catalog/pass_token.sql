-- A scheduled run in flight gets the token of the interval that is in force now, whatever the schedule was when it
-- started: the next run follows its completion (invariant I9). Where no interval is in force a token says nothing.
-- ?1 [key, …] of rescheduled and removed jobs
UPDATE running SET every_us = job.every_us FROM job
WHERE job.key = running.job_key AND job.active AND job.every_us IS NOT NULL AND running.cause = 0
  AND job.key IN (SELECT value FROM json_each(?1))
