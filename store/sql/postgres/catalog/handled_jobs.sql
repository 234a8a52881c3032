-- One job for each definition that names one of these handlers. Definitions are few beside jobs; jobs are read once, since
-- there is no index by definition: an executor asks when it starts, and never again.
-- $1 handlers, $2 limit
WITH d AS MATERIALIZED (
    SELECT id, body FROM leasehold.definition WHERE body::json #>> '{handler,named,name}' = ANY($1)
)
SELECT j.tenant_id, j.name, d.body
FROM (SELECT DISTINCT ON (definition_id) definition_id, tenant_id, name FROM leasehold.job
      WHERE active AND definition_id = ANY(ARRAY(SELECT id FROM d)) ORDER BY definition_id, tenant_id, name) AS j
JOIN d ON d.id = j.definition_id
ORDER BY j.tenant_id, j.name LIMIT $2
