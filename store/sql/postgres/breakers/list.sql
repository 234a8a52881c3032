SELECT b.endpoint, b.probing, b.opened_at, b.retry_at, b.times, (
           SELECT count(*) FROM leasehold.ready AS r WHERE r.gate_id = b.gate_id), b.error, b.executor
FROM leasehold.breaker AS b ORDER BY b.endpoint
