-- What holds an open run, and for how long it has run.
-- $1 id
SELECT r.attempt, r.claim_id, leasehold.now_us() - r.started_at
FROM leasehold.running AS r JOIN leasehold.callback AS c ON c.id = r.id AND c.claim_id = r.claim_id
WHERE r.id = $1 AND c.within_us IS NOT NULL
