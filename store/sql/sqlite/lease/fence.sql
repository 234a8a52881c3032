-- The term check of every leader write. It runs inside the writing transaction (BEGIN IMMEDIATE), so nobody can
-- take over between this check and the commit (invariant I3).
-- ?1 holder, ?2 epoch, ?3 now
SELECT 1 FROM lease WHERE name = 'leader' AND holder = ?1 AND epoch = ?2 AND expires_at > ?3
