-- The interval token comes back to the job: this is what keeps `every` jobs alive (invariant I9). A job that has its
-- next due time already, or that is gone or is no interval job any longer, is left alone.
-- ?1 [key, …] of ended runs that held the token, ?2 now
UPDATE job SET next_due = ?2 + every_us
WHERE key IN (SELECT value FROM json_each(?1)) AND active AND every_us IS NOT NULL AND next_due IS NULL
