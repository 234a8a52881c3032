-- What was fanned out ahead of its time and is purged has not fired: the watermark comes back to now, or it would keep
-- the new schedule from firing until then.
-- ?1 [key, …] of rescheduled and removed jobs, ?2 now
UPDATE job SET last_fired = ?2 WHERE key IN (SELECT value FROM json_each(?1)) AND last_fired > ?2
