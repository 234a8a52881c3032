-- $1 ids
SELECT id, body FROM leasehold.definition WHERE id = ANY($1)
