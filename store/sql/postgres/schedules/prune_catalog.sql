-- Removed jobs whose last report is gone, and what nothing refers to after that. Rare and small: the candidates are
-- the removed jobs only. The catalog's row is locked (lock_catalog.sql), so that none of them comes back meanwhile.
-- $1 holder, $2 epoch, $3 limit
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
candidates AS MATERIALIZED (
    SELECT key FROM leasehold.job WHERE NOT active AND EXISTS (SELECT 1 FROM fence) ORDER BY key LIMIT $3
),
gone AS ( -- one probe of an index a table and candidate; as joins, these would read the tables whole
    DELETE FROM leasehold.job WHERE key = ANY(ARRAY(
        SELECT c.key FROM candidates AS c
        WHERE (SELECT true FROM leasehold.report AS r WHERE r.job_key = c.key LIMIT 1) IS NULL
          AND (SELECT true FROM leasehold.running AS r WHERE r.job_key = c.key AND r.overlap <> 1 LIMIT 1) IS NULL
          AND (SELECT true FROM leasehold.running AS r WHERE r.job_key = c.key AND r.overlap = 1 LIMIT 1) IS NULL
          AND (SELECT true FROM leasehold.ready AS r WHERE r.job_key = c.key LIMIT 1) IS NULL
          AND (SELECT true FROM leasehold.ahead AS r WHERE r.job_key = c.key LIMIT 1) IS NULL))
    RETURNING key, tenant_id
),
versions AS (
    DELETE FROM leasehold.job_version WHERE job_key = ANY(ARRAY(SELECT key FROM gone))
)
SELECT count(*) FROM gone
