-- The leader looks at them at once, accounts for the pause and goes on. An interval job with its token in flight is due
-- an interval after that run has ended, and another one an interval after its last run has (invariant I9).
-- $1 keys, $2 keys of jobs that have their interval token in flight
UPDATE leasehold.job AS j
SET paused_until = c.now, resumed_at = c.now,
    next_due = CASE
        WHEN j.every_us IS NULL THEN c.now
        WHEN j.key <> ALL($2) THEN greatest(c.now, j.every_us + (
            SELECT p.finished_at FROM leasehold.report AS p
            WHERE p.job_key = j.key AND p.cause = 0 AND p.outcome <> 1 ORDER BY p.id DESC LIMIT 1))
        END
FROM (SELECT leasehold.clock_us() AS now OFFSET 0) AS c
WHERE j.key = ANY($1) AND j.active AND j.paused_until > c.now
