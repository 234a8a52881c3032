-- $1 id
UPDATE leasehold.running SET cancel = true WHERE id = $1 AND claim_id IS NOT NULL
