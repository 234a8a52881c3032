-- $1 keys
UPDATE leasehold.job SET active = false, next_due = NULL WHERE key = ANY($1)
