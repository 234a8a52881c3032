-- What holds an open run, and for how long it has run.
-- ?1 id, ?2 now
SELECT r.attempt, r.claim_id, ?2 - r.started_at
FROM running AS r JOIN callback AS c ON c.id = r.id AND c.claim_id = r.claim_id
WHERE r.id = ?1 AND c.within_us IS NOT NULL
