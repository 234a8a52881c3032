-- $1 ids
SELECT attributes, revision FROM leasehold.tenant WHERE id = ANY($1)
