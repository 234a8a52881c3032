-- $1 ids, $2 bodies
INSERT INTO leasehold.definition (id, body) SELECT * FROM unnest($1::uuid[], $2::text[])
ON CONFLICT (id) DO NOTHING
