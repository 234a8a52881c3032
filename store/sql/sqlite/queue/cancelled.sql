-- Of these runs, the ones that somebody asked to cancel: they get no further attempt.
-- ?1 [id, …]
SELECT id FROM running WHERE cancel AND id IN (SELECT unhex(value) FROM json_each(?1))
