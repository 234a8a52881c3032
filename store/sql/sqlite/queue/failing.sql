-- Of these jobs, the ones that pause themselves after some dead runs in a row: after how many, and since when they
-- count.
-- ?1 [key, …], ?2 now
SELECT key, pause_after, resumed_at FROM job
WHERE key IN (SELECT value FROM json_each(?1)) AND active AND pause_after IS NOT NULL
  AND coalesce(paused_until, 0) <= ?2
