-- The latest scheduled run in flight gets the token of the interval that is in force now, whatever the schedule was when
-- it started: the next run follows its completion (invariant I9). Any other run of the job gives its token up: two
-- tokens would be two chains of runs for ever. Where no interval is in force a token says nothing.
-- $1 keys of jobs with such a run
UPDATE leasehold.running AS r SET every_us = CASE WHEN r.id = l.id THEN j.every_us END
FROM (SELECT key, every_us FROM leasehold.job WHERE key = ANY($1) AND active AND every_us IS NOT NULL) AS j,
     (SELECT DISTINCT ON (job_key) job_key, id FROM leasehold.running WHERE job_key = ANY($1) AND cause = 0
      ORDER BY job_key, due DESC, id DESC) AS l
WHERE r.job_key = ANY($1) AND r.job_key = j.key AND r.job_key = l.job_key AND r.cause = 0
