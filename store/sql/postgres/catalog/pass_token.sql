-- A scheduled run in flight gets the token of the interval that is in force now, whatever the schedule was when it
-- started: the next run follows its completion (invariant I9). Where no interval is in force a token says nothing.
-- $1 keys of jobs with such a run
UPDATE leasehold.running AS r SET every_us = j.every_us
FROM (SELECT key, every_us FROM leasehold.job WHERE key = ANY($1) AND active AND every_us IS NOT NULL) AS j
WHERE r.job_key = ANY($1) AND r.job_key = j.key AND r.cause = 0
