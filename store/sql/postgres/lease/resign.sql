-- $1 holder, $2 epoch
UPDATE leasehold.lease SET holder = NULL, expires_at = leasehold.clock_us()
WHERE name = 'leader' AND holder = $1 AND epoch = $2
