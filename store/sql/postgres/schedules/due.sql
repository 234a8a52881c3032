-- One row more than asked for, to see how far away the next job is. The clock comes with it, and is there even if no
-- job has a due time. A job that an older version wrote has 0 in `accounted`, and an older scheduler moves only
-- `last_fired`.
-- $1 limit, $2 whether those are asked for that an outage left behind, or the others
SELECT j.key, j.version, j.definition_id, j.next_due,
       greatest(coalesce(nullif(j.accounted, 0), j.next_due - 1), j.last_fired), j.paused_at, j.paused_until, j.runs_left,
       j.gated, leasehold.now_us()
FROM (SELECT 1) AS one
LEFT JOIN (SELECT * FROM leasehold.job
           WHERE next_due > CASE WHEN $2 THEN 0 ELSE leasehold.now_us() - 60000000 END
             AND next_due <= CASE WHEN $2 THEN leasehold.now_us() - 60000000 ELSE 9223372036854775807 END
           ORDER BY next_due, tenant_id LIMIT $1) AS j ON true
ORDER BY j.next_due
