-- The interval token comes back to the job: this is what keeps `every` jobs alive (invariant I9). A job that has its
-- next due time already, or that is gone or is no interval job any longer, is left alone; one that is paused is due
-- when the pause has ended too.
-- ?1 [key, …] of ended runs that held the token, ?2 now
UPDATE job
SET next_due = nullif(max(?2 + every_us, CASE WHEN paused_until > ?2 THEN paused_until ELSE 0 END), 9223372036854775807)
WHERE key IN (SELECT value FROM json_each(?1)) AND active AND every_us IS NOT NULL AND next_due IS NULL
