-- Takes the lease if it is free, has expired, is the candidate's own, or was decided elsewhere (a Redis lock has
-- elected; the row only mints the epoch). A lease of another kind is never taken. Two candidates wait for each other
-- on the row; the later one re-checks the condition on what the first has written. The new epoch changes a unique
-- key, so this waits for a leader's write that holds FOR KEY SHARE, and none can start before this commits.
-- $1 kind, $2 holder, $3 host, $4 pid, $5 ttl
INSERT INTO leasehold.lease AS l (name, kind, epoch, holder, host, pid, elected_at, expires_at)
VALUES ('leader', $1, 1, $2, $3, $4, leasehold.clock_us(), leasehold.clock_us() + $5)
ON CONFLICT (name) DO UPDATE
SET epoch = l.epoch + 1, holder = $2, host = $3, pid = $4, elected_at = leasehold.clock_us(),
    expires_at = leasehold.clock_us() + $5
WHERE l.kind = $1
  AND (l.holder IS NULL OR l.holder = $2 OR l.expires_at <= leasehold.clock_us() OR $1 = 'redis')
RETURNING epoch
