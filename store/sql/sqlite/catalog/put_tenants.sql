-- ?1 [[id, attributes, weight, source, row of the source], …], ?2 revision
INSERT INTO tenant (id, attributes, revision, active, weight, source, roster_row)
SELECT value ->> 0, value ->> 1, ?2, 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1) WHERE true
ON CONFLICT (id) DO UPDATE
SET attributes = excluded.attributes, revision = excluded.revision, active = 1, weight = excluded.weight,
    source = excluded.source, roster_row = excluded.roster_row
