-- A lease that has expired may still be renewed while nobody took it: the epoch tells.
-- ?1 holder, ?2 epoch, ?3 now, ?4 ttl
UPDATE lease SET expires_at = ?3 + ?4
WHERE name = 'leader' AND holder = ?1 AND epoch = ?2
RETURNING epoch
