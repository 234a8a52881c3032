-- One row a claim, whatever number of runs it carries.
-- $1 claims, $2 executor, $3 ttl
UPDATE leasehold.claim SET lease_until = leasehold.clock_us() + $3
WHERE id = ANY($1) AND executor = $2
RETURNING id
