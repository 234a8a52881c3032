-- Gates that limit nothing and that no run holds. A job that still names one passes it.
DELETE FROM gate
WHERE lim IS NULL AND starts IS NULL AND in_use = 0 AND NOT EXISTS (SELECT 1 FROM ready WHERE ready.gate_id = gate.id)
