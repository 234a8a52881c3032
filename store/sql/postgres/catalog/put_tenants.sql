-- $1 ids, $2 attributes, $3 revision
INSERT INTO leasehold.tenant (id, attributes, revision, active)
SELECT id, attributes, $3, true FROM unnest($1::text[], $2::text[]) AS u(id, attributes)
ON CONFLICT (id) DO UPDATE SET attributes = excluded.attributes, revision = excluded.revision, active = true
