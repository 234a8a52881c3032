-- A lease that has expired may still be renewed while nobody took it: the epoch tells. No key changes, so this does
-- not wait for a write under the term.
-- $1 holder, $2 epoch, $3 ttl
UPDATE leasehold.lease SET expires_at = leasehold.clock_us() + $3
WHERE name = 'leader' AND holder = $1 AND epoch = $2
RETURNING epoch
