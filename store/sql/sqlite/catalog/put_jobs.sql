-- A new schedule (reschedule = 1) starts a new `since`, and its due time is set, unless it is an interval and a
-- scheduled run is in flight: then that run's completion sets it (invariant I9). A job that is paused stays so. A key
-- that another job has is no conflict to get over: the row is left, and the caller sees that one is missing.
-- ?1 [[key, tenant, name, version, definition, queue, prio, overlap, max attempts, every, reschedule, next due, buffer,
--      pause after, max runs, whether it is gated, gates], …], ?2 now
INSERT INTO job (key, tenant_id, name, active, version, since, definition_id, queue, prio, overlap, max_attempts,
                 every_us, next_due, buffer, pause_after, runs_left, accounted, gated, gates)
SELECT value ->> 0, value ->> 1, value ->> 2, 1, value ->> 3, value ->> 3, unhex(value ->> 4), value ->> 5,
       value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 11, value ->> 12, value ->> 13, value ->> 14, ?2,
       value ->> 15, value ->> 16
FROM json_each(?1) WHERE value ->> 10
ON CONFLICT (key) DO UPDATE
SET active = 1, version = excluded.version, since = excluded.since, definition_id = excluded.definition_id,
    queue = excluded.queue, prio = excluded.prio, overlap = excluded.overlap, max_attempts = excluded.max_attempts,
    every_us = excluded.every_us, buffer = excluded.buffer, pause_after = excluded.pause_after,
    runs_left = excluded.runs_left, accounted = excluded.accounted, gated = excluded.gated, gates = excluded.gates,
    next_due = CASE WHEN excluded.every_us IS NOT NULL AND EXISTS (
                        SELECT 1 FROM running WHERE running.job_key = job.key AND running.cause = 0)
                    THEN NULL
                    WHEN job.paused_until > ?2 THEN nullif(job.paused_until, 9223372036854775807)
                    ELSE excluded.next_due END
WHERE job.tenant_id = excluded.tenant_id AND job.name = excluded.name
