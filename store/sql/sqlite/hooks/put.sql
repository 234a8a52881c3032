-- Hooks that have changed. One that delivered nothing keeps the time of its last message.
-- ?1 [[name, state, tries, error, whether a message was delivered], …], ?2 now
INSERT INTO hook (name, state, tries, error, delivered_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CASE WHEN value ->> 4 THEN ?2 END
FROM json_each(?1) WHERE true
ON CONFLICT (name) DO UPDATE
SET state = excluded.state, tries = excluded.tries, error = excluded.error,
    delivered_at = coalesce(excluded.delivered_at, delivered_at)
