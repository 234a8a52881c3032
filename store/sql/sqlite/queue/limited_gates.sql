-- The gates that items wait for, one probe of the index for each.
WITH RECURSIVE waited (id) AS (
    SELECT min(gate_id) FROM ready WHERE gate_id IS NOT NULL
    UNION ALL
    SELECT (SELECT min(gate_id) FROM ready WHERE gate_id > waited.id) FROM waited WHERE waited.id IS NOT NULL
)
SELECT id FROM waited WHERE id IS NOT NULL
