SELECT kind, epoch, holder, host, pid, elected_at, expires_at FROM lease WHERE name = 'leader'
