-- $1 keys
UPDATE leasehold.job SET active = false, next_due = NULL, runs_left = NULL,
    paused_at = NULL, paused_until = NULL, pause_reason = NULL
WHERE key = ANY($1)
