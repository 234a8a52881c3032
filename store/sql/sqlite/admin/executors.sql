-- ?1 not heard of since then
SELECT id, host, pid, version, slots, running, queues, draining, seen_at, abilities FROM executor WHERE seen_at >= ?1 ORDER BY host, pid
