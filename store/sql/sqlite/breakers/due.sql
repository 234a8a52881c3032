-- Breakers whose time has come let one run through at a time. One that nobody has called for an hour since is forgotten.
-- ?1 now
SELECT endpoint, gate_id, retry_at < ?1 - 3600000000 FROM breaker
WHERE retry_at <= ?1 AND (NOT probing OR retry_at < ?1 - 3600000000)
