-- One job for each definition that names one of these handlers. Definitions are few beside jobs; jobs are read once, since
-- there is no index by definition: an executor asks when it starts, and never again.
-- ?1 [handler, …], ?2 limit
WITH d AS MATERIALIZED (
    SELECT id, body FROM definition
    WHERE json_extract(body, '$.handler.named.name') IN (SELECT value FROM json_each(?1))
)
SELECT j.tenant_id, j.name, d.body
FROM (SELECT definition_id, tenant_id, name,
             row_number() OVER (PARTITION BY definition_id ORDER BY tenant_id, name) AS nth
      FROM job WHERE active AND definition_id IN (SELECT id FROM d)) AS j
JOIN d ON d.id = j.definition_id
WHERE j.nth = 1
ORDER BY j.tenant_id, j.name LIMIT ?2
