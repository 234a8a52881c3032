-- ?1 [[id, attributes], …], ?2 revision
INSERT INTO tenant (id, attributes, revision, active)
SELECT value ->> 0, value ->> 1, ?2, 1 FROM json_each(?1) WHERE true
ON CONFLICT (id) DO UPDATE SET attributes = excluded.attributes, revision = excluded.revision, active = 1
