-- The run goes back into the queue and keeps its place in `running`, so that nothing overlaps its retry.
-- ?1 [[id, claim, attempt, released], …]
UPDATE running SET claim_id = NULL, released = running.released + u.released
FROM (SELECT unhex(value ->> 0) AS id, unhex(value ->> 1) AS claim, value ->> 2 AS attempt, value ->> 3 AS released
      FROM json_each(?1)) AS u
WHERE running.id = u.id AND running.claim_id = u.claim AND running.attempt = u.attempt
RETURNING id, job_key, tenant_id, cause, due, attempt, every_us, executor, started_at, overlap, gates
