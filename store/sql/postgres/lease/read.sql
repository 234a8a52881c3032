SELECT kind, epoch, holder, host, pid, elected_at, expires_at FROM leasehold.lease WHERE name = 'leader'
