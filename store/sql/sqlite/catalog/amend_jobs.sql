-- Jobs whose schedule stays: due times, what is queued and the interval token are left alone.
-- ?1 as put_jobs
UPDATE job SET version = u.version, definition_id = u.definition_id, queue = u.queue, prio = u.prio,
    overlap = u.overlap, max_attempts = u.max_attempts, buffer = u.buffer, pause_after = u.pause_after,
    gated = u.gated, gates = u.gates
FROM (SELECT value ->> 0 AS key, value ->> 3 AS version, unhex(value ->> 4) AS definition_id, value ->> 5 AS queue,
             value ->> 6 AS prio, value ->> 7 AS overlap, value ->> 8 AS max_attempts, value ->> 12 AS buffer,
             value ->> 13 AS pause_after, value ->> 15 AS gated, value ->> 16 AS gates
      FROM json_each(?1) WHERE NOT value ->> 10) AS u
WHERE job.key = u.key
