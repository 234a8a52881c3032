-- What jobs may do, of which nothing else changes.
-- ?1 [[key, whether it is gated, gates], …]
UPDATE job SET gated = u.gated, gates = u.gates
FROM (SELECT value ->> 0 AS key, value ->> 1 AS gated, value ->> 2 AS gates FROM json_each(?1)) AS u
WHERE job.key = u.key
