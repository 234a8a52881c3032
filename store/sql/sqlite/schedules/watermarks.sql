-- The last due time that fired. Only later ones may fire: the ids of finished runs are no longer in the queue's tables,
-- so the watermark is what keeps them from coming back (invariant I1).
-- ?1 [key, …]
SELECT key, last_fired FROM job WHERE key IN (SELECT value FROM json_each(?1)) AND last_fired IS NOT NULL
