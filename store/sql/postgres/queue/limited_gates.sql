-- Gates at which items wait: stepped through by the index, so that a gate with many items costs no more than one with
-- one; a piece of them at a time.
-- $1 the first gate, $2 how many
WITH RECURSIVE k AS (
    (SELECT gate_id FROM leasehold.ready WHERE gate_id >= $1 ORDER BY gate_id, prio, tag LIMIT 1)
    UNION ALL
    SELECT (SELECT r.gate_id FROM leasehold.ready AS r WHERE r.gate_id > k.gate_id
            ORDER BY r.gate_id, r.prio, r.tag LIMIT 1)
    FROM k WHERE k.gate_id IS NOT NULL
)
SELECT gate_id FROM k WHERE gate_id IS NOT NULL LIMIT $2
