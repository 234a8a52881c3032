-- What jobs need of an executor, as their handlers say, and the gates at which items wait for one.
WITH d AS MATERIALIZED (
    SELECT id, body::json #>> '{handler,named,name}' AS name FROM leasehold.definition
    WHERE body::json #> '{handler,named}' IS NOT NULL OR body::json #> '{handler,command}' IS NOT NULL
),
n AS (
    SELECT d.name, sum(j.n)::bigint AS jobs
    FROM d JOIN (SELECT definition_id, count(*) AS n FROM leasehold.job
                 WHERE active AND definition_id = ANY(ARRAY(SELECT id FROM d)) GROUP BY definition_id) AS j
        ON j.definition_id = d.id
    GROUP BY d.name
)
SELECT name, jobs, NULL::bigint AS gate_id, NULL::bigint AS waiting FROM n
UNION ALL
SELECT NULL, NULL, gate_id, count(*) FROM leasehold.ready
WHERE gate_id >= -4611686018427387904 AND gate_id < 0 GROUP BY gate_id
