-- Breakers whose time has come let one run through at a time. One that nobody has called for an hour since is forgotten.
-- Locks: breakers (skipping what others have), gates in the order of their ids.
WITH due AS MATERIALIZED (
    SELECT endpoint, gate_id, retry_at < leasehold.now_us() - 3600000000 AS forgotten FROM leasehold.breaker
    WHERE retry_at <= leasehold.now_us() AND (NOT probing OR retry_at < leasehold.now_us() - 3600000000)
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM leasehold.breaker WHERE endpoint = ANY(ARRAY(SELECT endpoint FROM due WHERE forgotten)) RETURNING 1
),
probing AS (
    UPDATE leasehold.breaker SET probing = true
    WHERE endpoint = ANY(ARRAY(SELECT endpoint FROM due WHERE NOT forgotten)) RETURNING 1
)
UPDATE leasehold.gate AS g SET lim = CASE WHEN d.forgotten THEN NULL ELSE 1 END
FROM due AS d
WHERE g.id = ANY(ARRAY(SELECT id FROM leasehold.gate WHERE id = ANY(ARRAY(SELECT gate_id FROM due)) ORDER BY id FOR UPDATE))
  AND g.id = d.gate_id
