-- $1 ids
SELECT attributes, source, roster_row FROM leasehold.tenant WHERE active AND id = ANY($1) ORDER BY id
