-- $1 ids, $2 attributes, $3 revision, $4 weights, $5 sources, $6 rows of the source
INSERT INTO leasehold.tenant (id, attributes, revision, active, weight, source, roster_row)
SELECT id, attributes, $3, true, weight, source, roster_row
FROM unnest($1::text[], $2::text[], $4::integer[], $5::text[], $6::text[])
    AS u(id, attributes, weight, source, roster_row)
ON CONFLICT (id) DO UPDATE
SET attributes = excluded.attributes, revision = excluded.revision, active = true, weight = excluded.weight,
    source = excluded.source, roster_row = excluded.roster_row
