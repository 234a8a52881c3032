-- What passes gates now, and when items that wait for a start may be let go.
-- ?1 [[id, in use, recent starts, wake at], …]
UPDATE gate SET in_use = u.in_use, recent = u.recent, wake_at = u.wake_at
FROM (SELECT value ->> 0 AS id, value ->> 1 AS in_use, value ->> 2 AS recent, value ->> 3 AS wake_at
      FROM json_each(?1)) AS u
WHERE gate.id = u.id
