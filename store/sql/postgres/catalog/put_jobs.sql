-- A new schedule (reschedule) starts a new `since`, and its due time is set, unless it is an interval and a scheduled
-- run is in flight: then that run's completion sets it (invariant I9). A job that is paused stays so. A key that another
-- job has is no conflict to get over: the row is left, and the caller sees that one is missing.
-- $1 keys, $2 tenants, $3 names, $4 versions, $5 definitions, $6 queues, $7 prios, $8 overlaps, $9 max attempts,
-- $10 every, $11 next due, $12 buffers, $13 pause after, $14 max runs, $15 now,
-- $16 keys with a scheduled run in flight, $17 whether they are gated, $18 gates as JSON; all rows with a new schedule
INSERT INTO leasehold.job AS j (key, tenant_id, name, active, version, since, definition_id, queue, prio, overlap,
                                max_attempts, every_us, next_due, buffer, pause_after, runs_left, accounted, gated, gates)
SELECT u.key, u.tenant_id, u.name, true, u.version, u.version, u.definition_id, u.queue, u.prio, u.overlap,
       u.max_attempts, u.every_us,
       CASE WHEN u.every_us IS NOT NULL AND u.key = ANY($16::bigint[]) THEN NULL ELSE u.next_due END,
       u.buffer, u.pause_after, u.max_runs, $15, u.gated, leasehold.gates(u.gates)
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::uuid[], $6::text[], $7::smallint[],
            $8::smallint[], $9::integer[], $10::bigint[], $11::bigint[], $12::integer[], $13::integer[], $14::integer[],
            $17::boolean[], $18::text[])
    AS u(key, tenant_id, name, version, definition_id, queue, prio, overlap, max_attempts, every_us, next_due, buffer,
         pause_after, max_runs, gated, gates)
ON CONFLICT (key) DO UPDATE
SET active = true, version = excluded.version, since = excluded.since, definition_id = excluded.definition_id,
    queue = excluded.queue, prio = excluded.prio, overlap = excluded.overlap, max_attempts = excluded.max_attempts,
    every_us = excluded.every_us, buffer = excluded.buffer, pause_after = excluded.pause_after,
    runs_left = excluded.runs_left, accounted = excluded.accounted, gated = excluded.gated, gates = excluded.gates,
    next_due = CASE WHEN excluded.every_us IS NOT NULL AND j.key = ANY($16::bigint[]) THEN NULL
                    WHEN j.paused_until = 9223372036854775807 THEN NULL
                    WHEN j.paused_until > $15 THEN j.paused_until
                    ELSE excluded.next_due END
WHERE j.tenant_id = excluded.tenant_id AND j.name = excluded.name
