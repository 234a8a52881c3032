-- Items that a gate has no room for leave the line: they stand in no queue, so no claim sees them, and keep their own in
-- `home`.
-- ?1 [[key, id, gate], …] of items in line
UPDATE ready SET gate_id = u.gate, home = coalesce(home, queue), queue = ''
FROM (SELECT value ->> 0 AS key, unhex(value ->> 1) AS id, value ->> 2 AS gate FROM json_each(?1)) AS u
WHERE ready.job_key = u.key AND ready.id = u.id AND (ready.gate_id IS NULL OR ready.gate_id >= -4611686018427387904 AND ready.gate_id < 0)
