-- Removed jobs whose last report is gone, and what nothing refers to after that. Rare and small: the candidates are
-- the removed jobs only. The catalog's row is locked (lock_catalog.sql), so that none of them comes back meanwhile.
-- $1 holder, $2 epoch, $3 limit
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
gone AS (
    DELETE FROM leasehold.job WHERE key = ANY(ARRAY(
        SELECT j.key FROM leasehold.job AS j
        WHERE NOT j.active AND EXISTS (SELECT 1 FROM fence)
          AND NOT EXISTS (SELECT 1 FROM leasehold.report AS r WHERE r.job_key = j.key)
          AND NOT EXISTS (SELECT 1 FROM leasehold.running AS r WHERE r.job_key = j.key)
          AND NOT EXISTS (SELECT 1 FROM leasehold.ready AS r WHERE r.job_key = j.key)
          AND NOT EXISTS (SELECT 1 FROM leasehold.ahead AS r WHERE r.job_key = j.key)
        LIMIT $3))
    RETURNING key, tenant_id
),
versions AS (
    DELETE FROM leasehold.job_version WHERE job_key = ANY(ARRAY(SELECT key FROM gone))
)
SELECT count(*) FROM gone
