-- The claims of runs that were just moved, held by nobody. A run that somebody asked to cancel has no time left, so that
-- the next rescue ends it.
-- ?1 [[id, attempt, claim, own claim, silence, in all, wait], …], ?2 now
INSERT INTO claim (id, executor, lease_until)
SELECT r.claim_id, zeroblob(16), ?2 + CASE WHEN r.cancel THEN -1 ELSE min(value ->> 4, value ->> 5) END
FROM json_each(?1) JOIN running AS r ON r.id = unhex(value ->> 0) AND r.claim_id = unhex(value ->> 3)
