-- The config in force.
-- ?1 revision, ?2 the instant for which it was planned, ?3 hash, ?4 body
INSERT INTO config (one, revision, at, latest, hash, body) VALUES (1, ?1, ?2, ?1, ?3, ?4)
ON CONFLICT (one) DO UPDATE
SET revision = excluded.revision, at = excluded.at, latest = excluded.latest, hash = excluded.hash, body = excluded.body
