-- Opens a breaker, or opens it again after a probe that failed, for twice as long. One that is open already stays as it is:
-- what was under way when it opened says nothing new.
-- Locks: the breaker, and then its gate.
-- $1 endpoint, $2 gate, $3 how long the first time, $4 how long at most, $5 per mille of that by chance, $6 error,
-- $7 executor
WITH opened AS (
    INSERT INTO leasehold.breaker AS b (endpoint, gate_id, opened_at, retry_at, times, probing, error, executor)
    VALUES ($1, $2, leasehold.clock_us(), leasehold.clock_us() + $3::bigint * $5::bigint / 1000, 1, false, $6, $7)
    ON CONFLICT (endpoint) DO UPDATE
    SET retry_at = leasehold.clock_us() + least($3::bigint << least(b.times, 16), $4::bigint) * $5::bigint / 1000,
        times = b.times + 1, probing = false, error = excluded.error, executor = excluded.executor
    WHERE b.probing
    RETURNING gate_id
)
INSERT INTO leasehold.gate AS g (id, lim) SELECT gate_id, 0 FROM opened
ON CONFLICT (id) DO UPDATE SET lim = 0
