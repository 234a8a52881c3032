SELECT endpoint, probing, opened_at, retry_at, times, (SELECT count(*) FROM ready r WHERE r.gate_id = breaker.gate_id),
       error, executor
FROM breaker ORDER BY endpoint
