-- ?1 [[id, body], …]
INSERT INTO definition (id, body) SELECT unhex(value ->> 0), value ->> 1 FROM json_each(?1) WHERE true
ON CONFLICT (id) DO NOTHING
