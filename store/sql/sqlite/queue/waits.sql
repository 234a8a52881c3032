-- Whether items still wait for room at a gate.
-- ?1 gate
SELECT EXISTS (SELECT 1 FROM ready WHERE gate_id = ?1)
