-- ?1 [key, …]
UPDATE job SET active = 0, next_due = NULL, runs_left = NULL,
    paused_at = NULL, paused_until = NULL, pause_reason = NULL
WHERE key IN (SELECT value FROM json_each(?1))
