-- Jobs that are not paused stop being due, until then or until somebody resumes them. What is queued is left: a claim
-- looks at the pause. An interval job with its token in flight is due when that run has ended and the pause is over;
-- another one not before it was due anyway. A pause before it that the leader has not accounted for becomes part of it.
-- $1 keys, $2 reason, $3 until or null, $4 keys of jobs that have their interval token in flight
UPDATE leasehold.job
SET paused_at = CASE WHEN paused_until > greatest(accounted, last_fired) THEN paused_at ELSE leasehold.clock_us() END,
    paused_until = coalesce($3, 9223372036854775807), pause_reason = $2,
    next_due = CASE WHEN every_us IS NULL THEN $3 WHEN key <> ALL($4) AND $3 IS NOT NULL THEN greatest(next_due, $3) END
WHERE key = ANY($1) AND active AND coalesce(paused_until, 0) <= leasehold.clock_us()
