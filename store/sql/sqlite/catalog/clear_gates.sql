-- Gates that limit nothing any longer.
-- ?1 [id, …]
UPDATE gate SET lim = NULL, starts = NULL, per_us = NULL WHERE id IN (SELECT value FROM json_each(?1))
