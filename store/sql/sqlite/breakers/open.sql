-- Opens a breaker, or opens it again after a probe that failed, for twice as long. One that is open already stays as it is:
-- what was under way when it opened says nothing new.
-- ?1 endpoint, ?2 gate, ?3 how long the first time, ?4 how long at most, ?5 per mille of that by chance, ?6 error,
-- ?7 executor, ?8 now
INSERT INTO breaker (endpoint, gate_id, opened_at, retry_at, times, probing, error, executor)
VALUES (?1, ?2, ?8, ?8 + ?3 * ?5 / 1000, 1, false, ?6, ?7)
ON CONFLICT (endpoint) DO UPDATE
SET retry_at = ?8 + min(?3 << min(breaker.times, 16), ?4) * ?5 / 1000,
    times = breaker.times + 1, probing = false, error = excluded.error, executor = excluded.executor
WHERE breaker.probing
RETURNING gate_id
