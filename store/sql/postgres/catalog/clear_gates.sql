-- Gates that limit nothing any longer.
-- $1 ids
UPDATE leasehold.gate SET lim = NULL, starts = NULL, per_us = NULL
WHERE id = ANY(ARRAY(SELECT id FROM leasehold.gate WHERE id = ANY($1) ORDER BY id FOR UPDATE))
