-- Tenants that nothing refers to, with their shares.
WITH gone AS (
    DELETE FROM leasehold.tenant AS t
    WHERE NOT t.active AND NOT EXISTS (SELECT 1 FROM leasehold.job AS j WHERE j.tenant_id = t.id)
    RETURNING t.id
)
DELETE FROM leasehold.share WHERE tenant_id = ANY(ARRAY(SELECT id FROM gone))
