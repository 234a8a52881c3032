-- ?1 holder, ?2 epoch, ?3 now
UPDATE lease SET holder = NULL, expires_at = ?3
WHERE name = 'leader' AND holder = ?1 AND epoch = ?2
