-- Compare-and-set on (version, next_due): a launch planned from anything else is left out (invariants I2, I13). The
-- caller leaves out due times that are not later than the watermark, and the job advances all the same, or it would be
-- due for ever; an interval, which has one due time and then waits for its completion, moves past the watermark.
-- ?1 [[key, version, expected, last due time queued or null, next, accounted, runs left, whether it is over], …]
UPDATE job
SET next_due = CASE WHEN job.every_us IS NOT NULL AND u.last <= job.last_fired THEN job.last_fired + 1000
                    ELSE u.next END,
    last_fired = coalesce(max(job.last_fired, u.last), u.last, job.last_fired),
    accounted = max(job.accounted, u.accounted),
    runs_left = CASE WHEN job.every_us IS NOT NULL AND u.last <= job.last_fired THEN job.runs_left ELSE u.runs_left END,
    every_us = CASE WHEN NOT u.ended THEN job.every_us END
FROM (SELECT value ->> 0 AS key, value ->> 1 AS version, value ->> 2 AS expected, value ->> 3 AS last,
             value ->> 4 AS next, value ->> 5 AS accounted, value ->> 6 AS runs_left, value ->> 7 AS ended
      FROM json_each(?1)) AS u
WHERE job.key = u.key AND job.active AND job.version = u.version AND job.next_due = u.expected
RETURNING key
