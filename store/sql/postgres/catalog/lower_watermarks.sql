-- What was fanned out ahead of its time and is purged has not fired: the watermark comes back to now, or it would keep
-- the new schedule from firing until then. After the purge, so that whatever is left of the old schedule was due
-- before this instant.
-- $1 keys of rescheduled and removed jobs, $2 now
UPDATE leasehold.job SET last_fired = $2
WHERE key = ANY($1) AND last_fired > $2
