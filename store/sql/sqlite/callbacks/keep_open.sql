-- What has run out stays so: the rescuer ends the run.
-- ?1 id, ?2 attempt, ?3 claim, ?4 now
UPDATE claim SET lease_until = min(?4 + c.within_us, c.until)
FROM callback AS c
WHERE claim.id = ?3 AND claim.lease_until > ?4
  AND c.id = ?1 AND c.attempt = ?2 AND c.claim_id = ?3 AND c.within_us IS NOT NULL
RETURNING lease_until - ?4
