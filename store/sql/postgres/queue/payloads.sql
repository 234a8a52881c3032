-- $1 job keys, $2 ids, in pairs
SELECT id, payload FROM leasehold.enqueued
WHERE job_key = ANY($1) AND id = ANY($2) AND payload IS NOT NULL
