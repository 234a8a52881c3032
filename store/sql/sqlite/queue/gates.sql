-- What gates allow, what passes them, and whether items wait for room. The one writer is the lock.
-- ?1 [id, …]
SELECT id, lim, in_use, starts, per_us, recent,
       EXISTS (SELECT 1 FROM ready WHERE ready.gate_id = gate.id) AS waited
FROM gate WHERE id IN (SELECT value FROM json_each(?1))
