-- Takes the lease if it is free, has expired, is the candidate's own, or was decided elsewhere (a Redis lock has
-- elected; the row only mints the epoch). A lease of another kind is never taken. The transaction is the lock.
-- ?1 kind, ?2 holder, ?3 host, ?4 pid, ?5 now, ?6 ttl
INSERT INTO lease (name, kind, epoch, holder, host, pid, elected_at, expires_at)
VALUES ('leader', ?1, 1, ?2, ?3, ?4, ?5, ?5 + ?6)
ON CONFLICT (name) DO UPDATE
SET epoch = lease.epoch + 1, holder = ?2, host = ?3, pid = ?4, elected_at = ?5, expires_at = ?5 + ?6
WHERE lease.kind = ?1
  AND (lease.holder IS NULL OR lease.holder = ?2 OR lease.expires_at <= ?5 OR ?1 = 'redis')
RETURNING epoch
