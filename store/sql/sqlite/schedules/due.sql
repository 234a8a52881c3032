-- One row more than asked for, to see how far away the next job is. A job that an older version wrote has 0 in
-- `accounted`, and an older scheduler moves only `last_fired`.
-- ?1 after, ?2 up to, ?3 limit
SELECT key, version, definition_id, next_due,
       max(coalesce(nullif(accounted, 0), next_due - 1), coalesce(last_fired, 0)), paused_at, paused_until, runs_left,
       gated
FROM job WHERE next_due > ?1 AND next_due <= ?2 ORDER BY next_due, tenant_id LIMIT ?3
