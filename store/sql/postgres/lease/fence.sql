-- Whether a term stands; it does until this transaction ends (invariant I3).
-- $1 holder, $2 epoch
SELECT 1 FROM leasehold.lease
WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
FOR KEY SHARE
