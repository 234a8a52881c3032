-- Jobs whose latest runs were all dead, as many in a row as `pause_after` says, pause themselves until somebody resumes
-- them. Ids of scheduled runs sort by their due times.
-- $1 keys of jobs with a run that just died
UPDATE leasehold.job AS j
SET paused_at = CASE WHEN paused_until > greatest(accounted, last_fired) THEN paused_at ELSE leasehold.clock_us() END,
    paused_until = 9223372036854775807, next_due = NULL,
    pause_reason = 'paused itself after ' || j.pause_after || ' dead runs in a row'
WHERE j.key = ANY($1) AND j.active AND j.pause_after IS NOT NULL
  AND coalesce(j.paused_until, 0) <= leasehold.clock_us()
  AND (SELECT count(*) FILTER (WHERE p.outcome = 2) FROM (
           SELECT outcome FROM leasehold.report
           WHERE job_key = j.key AND cause = 0 AND outcome IN (0, 2) AND finished_at > j.resumed_at
           ORDER BY id DESC LIMIT j.pause_after) AS p) >= j.pause_after
