DELETE FROM leasehold.tenant AS t
WHERE NOT t.active AND NOT EXISTS (SELECT 1 FROM leasehold.job AS j WHERE j.tenant_id = t.id)
