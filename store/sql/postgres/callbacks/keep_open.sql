-- What has run out stays so: the rescuer may be ending the run.
-- $1 id, $2 attempt, $3 claim
UPDATE leasehold.claim AS k
SET lease_until = least(leasehold.clock_us() + c.within_us, c.until)
FROM leasehold.callback AS c
WHERE k.id = $3 AND k.lease_until > leasehold.now_us()
  AND c.id = $1 AND c.attempt = $2 AND c.claim_id = $3 AND c.within_us IS NOT NULL
RETURNING k.lease_until - leasehold.clock_us()
