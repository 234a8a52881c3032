-- What items wait for that not every executor can do: stepped through by the index.
WITH RECURSIVE waited (id) AS (
    SELECT min(gate_id) FROM ready WHERE gate_id >= -4611686018427387904 AND gate_id < 0
    UNION ALL
    SELECT (SELECT min(gate_id) FROM ready WHERE gate_id > waited.id AND gate_id < 0) FROM waited
    WHERE waited.id IS NOT NULL
)
SELECT id FROM waited WHERE id IS NOT NULL
