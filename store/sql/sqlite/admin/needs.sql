-- What jobs need of an executor, as their handlers say, and the gates at which items wait for one.
SELECT d.name, count(*) AS jobs, NULL AS gate_id, NULL AS waiting
FROM (SELECT id, body ->> '$.handler.named.name' AS name FROM definition
      WHERE body -> '$.handler.named' IS NOT NULL OR body -> '$.handler.command' IS NOT NULL) AS d
JOIN job j ON j.definition_id = d.id
WHERE j.active GROUP BY d.name
UNION ALL
SELECT NULL, NULL, gate_id, count(*) FROM ready
WHERE gate_id >= -4611686018427387904 AND gate_id < 0 GROUP BY gate_id
