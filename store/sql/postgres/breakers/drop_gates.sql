-- Gates of endpoints whose breaker is closed, once nobody waits there any longer: whoever passes then locks nothing. Runs
-- that passed one give nothing back.
-- Locks: gates (skipping what others have).
DELETE FROM leasehold.gate WHERE id = ANY(ARRAY(
    SELECT id FROM leasehold.gate AS g
    WHERE g.id < -4611686018427387904 AND g.lim IS NULL
      AND (SELECT true FROM leasehold.ready AS r WHERE r.gate_id = g.id LIMIT 1) IS NULL
    ORDER BY id FOR UPDATE SKIP LOCKED))
