-- ?1 id
SELECT attempt, percent, message, log, at FROM progress WHERE id = ?1
