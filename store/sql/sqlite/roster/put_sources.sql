-- What came of asking the sources. One that gave no good answer keeps the time of its last one.
-- ?1 [[name, tenants, refused, refusals, error, held, whether it was good], …] in the order of the config, ?2 now
INSERT INTO roster_source (name, place, asked_at, good_at, tenants, refused, refusals, error, held)
SELECT value ->> 0, key, ?2, CASE WHEN value ->> 6 THEN ?2 END, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
       value ->> 5
FROM json_each(?1) WHERE true
ON CONFLICT (name) DO UPDATE
SET place = excluded.place, asked_at = excluded.asked_at, good_at = coalesce(excluded.good_at, good_at),
    tenants = excluded.tenants, refused = excluded.refused, refusals = excluded.refusals, error = excluded.error,
    held = excluded.held
