-- Gates that change, in the order of their ids, as everybody who locks several: after what is queued and before what
-- runs.
-- $1 ids
SELECT 1 FROM leasehold.gate WHERE id = ANY($1) ORDER BY id FOR UPDATE
