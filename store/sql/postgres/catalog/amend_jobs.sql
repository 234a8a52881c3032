-- Jobs whose schedule stays: due times, what is queued and the interval token are left alone.
-- $1 keys, $2 versions, $3 definitions, $4 queues, $5 prios, $6 overlaps, $7 max attempts, $8 buffers, $9 pause after,
-- $10 whether they are gated, $11 gates as JSON
UPDATE leasehold.job SET version = u.version, definition_id = u.definition_id, queue = u.queue, prio = u.prio,
    overlap = u.overlap, max_attempts = u.max_attempts, buffer = u.buffer, pause_after = u.pause_after,
    gated = u.gated, gates = leasehold.gates(u.gates)
FROM unnest($1::bigint[], $2::integer[], $3::uuid[], $4::text[], $5::smallint[], $6::smallint[], $7::integer[],
            $8::integer[], $9::integer[], $10::boolean[], $11::text[])
    AS u(key, version, definition_id, queue, prio, overlap, max_attempts, buffer, pause_after, gated, gates)
WHERE job.key = ANY($1) AND job.key = u.key
