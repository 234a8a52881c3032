-- $1 not heard of for longer than this
SELECT id, host, pid, version, slots, running, queues, draining, seen_at, abilities FROM leasehold.executor
WHERE seen_at >= leasehold.now_us() - $1 ORDER BY host, pid
