-- What jobs may do, of which nothing else changes.
-- $1 keys, $2 whether they are gated, $3 gates as JSON
UPDATE leasehold.job SET gated = u.gated, gates = leasehold.gates(u.gates)
FROM unnest($1::bigint[], $2::boolean[], $3::text[]) AS u(key, gated, gates)
WHERE job.key = ANY($1) AND job.key = u.key
