-- $1 ids, $2 revision
UPDATE leasehold.tenant SET active = false, revision = $2 WHERE id = ANY($1)
