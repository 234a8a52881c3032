-- What waits is let go by wake.sql: in pieces, each on a fresh snapshot.
-- Locks: the breaker, and then its gate.
-- $1 endpoint
WITH gone AS (DELETE FROM leasehold.breaker WHERE endpoint = $1 RETURNING gate_id)
UPDATE leasehold.gate SET lim = NULL WHERE id = ANY(ARRAY(SELECT gate_id FROM gone)) RETURNING id
